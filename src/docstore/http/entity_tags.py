"""Entity tags (RFC 9110 §8.8.3), and the lists of them in If-Match and If-None-Match.

Apart from `headers`, because clients compare tags only as text, and each command would load this.
"""

import re
from typing import Final

from docstore.frozen import frozen_dataclass
from docstore.http.headers import first_members

_TAG_MEMBER: Final = re.compile(r'(?:[^",]++|"[^"]*+(?:"|\Z))++')
_ENTITY_TAG: Final = re.compile(r'(W/)?"([!#-~\x80-\xff]*+)"')


@frozen_dataclass(frozen=True, slots=True)
class EntityTag:
    """RFC 9110 §8.8.3: `opaque` is the text between the quotes."""

    weak: bool
    opaque: str


@frozen_dataclass(frozen=True, slots=True)
class Tags:
    """The value of If-Match or If-None-Match: `*` (`star`, without members) or a list of entity tags."""

    star: bool
    members: tuple[EntityTag, ...] = ()

    def match(self, opaque: str, *, weakly: bool) -> bool:
        """Whether a member has this opaque part: with `weakly` any member, else a strong one (§8.8.3.2)."""
        return any(tag.opaque == opaque and (weakly or not tag.weak) for tag in self.members)


def parse_entity_tag(text: str) -> EntityTag | None:
    """Parse one entity tag (RFC 9110 §8.8.3): a capital `W`, quotes required, no escapes."""
    found = _ENTITY_TAG.fullmatch(text)
    return None if found is None else EntityTag(found[1] is not None, found[2])


def parse_entity_tags(value: str) -> Tags:
    """Parse If-Match or If-None-Match (RFC 9110 §13.1.1, §13.1.2); commas inside a tag belong to it.

    Invalid members are dropped and so match nothing; `*` is special only when it is the whole value. Raise
    TooManyMembers.
    """
    if value.strip(" \t") == "*":
        return Tags(star=True)
    found = first_members(_TAG_MEMBER, value, complete=True)
    members = (parse_entity_tag(member.strip(" \t")) for member in found)
    return Tags(star=False, members=tuple(tag for tag in members if tag is not None))
