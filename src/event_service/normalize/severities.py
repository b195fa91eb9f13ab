"""Words that tools use for states and severities: the one table of each, for all parsers."""

import re
from enum import Enum

from event_service.model.event import EventType, Severity
from event_service.normalize.fields import mapping, text, words
from event_service.normalize.result import Json, Options

UNKNOWN_SEVERITY = "unknown severity"
"""The remark about an event whose severity is in no table; `options.values.severity` takes it."""

# The other languages are those of Zabbix's translations: its severities are sent as they are displayed.
_SEVERITIES = {
    word: severity
    for severity, names in {
        Severity.CRITICAL: "critical|crit|fatal|emergency|emerg|page|disaster|blocker|panic|p1|sev0|very high|highest"
        "|katastrophe|kritisch|désastre|critique|desastre|crítico|critico|crítica|disastro|katastrofa|krytyczny"
        "|чрезвычайная|катастрофа|критическая|критический|灾难|災難|紧急|緊急|致命的な障害|致命的|심각|재해|재난|긴급",
        Severity.ERROR: "error|err|high|major|severe|serious|p2|sev1|hoch|fehler|haut|haute|élevé|élevée|erreur|majeur"
        "|alto|alta|alto|grave|wysoki|высокая|высокий|ошибка|严重|嚴重|高|错误|錯誤|重度の障害|重度|エラー|높음|중증|오류",
        Severity.WARNING: "warning|warn|medium|moderate|minor|average|p3|sev2|warnung|durchschnitt|mittel|avertissement"
        "|moyen|moyenne|mineur|advertencia|promedio|media|medio|média|médio|aviso|atenção|avviso|attenzione|średni"
        "|ostrzeżenie|предупреждение|средняя|средний|警告|一般严重|一般嚴重|中|次要|軽度の障害|軽度|경고|보통|평균",
        Severity.INFO: "info|information|informational|informative|notice|low|lowest|debug|verbose|trace|p4|p5|sev3"
        "|sev4|niedrig|faible|bajo|baja|baixa|baixo|basso|bassa|información|informação|informazione|informacja"
        "|информация|информационная|низкая|信息|資訊|訊息|低|提示|情報|정보|낮음",
        Severity.NONE: "none|not classified|unclassified|nicht klassifiziert|non classé|sin clasificar|no clasificado"
        "|não classificado|non classificato|niesklasyfikowane|не классифицировано|未分类|未分類|미분류",
        Severity.NOT_AVAILABLE: "not_available|not available|n/a|unknown",
    }.items()
    for word in names.split("|")
}

_PRIORITIES = {
    name: severity
    for number, severity in enumerate(
        (Severity.CRITICAL, Severity.ERROR, Severity.WARNING, Severity.INFO, Severity.INFO), start=1
    )
    for name in (f"p{number}", str(number))
}

_RISING = {"1": Severity.INFO, "2": Severity.WARNING, "3": Severity.ERROR, "4": Severity.CRITICAL}


class State(Enum):
    """The state of an alert, as words like `firing`, `ok` or `acknowledged` express it."""

    FIRING = "firing"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"
    """Or any other news that neither opens nor ends an alert: downtime, flapping, a custom notification."""

    @property
    def event_type(self) -> EventType:
        return EventType.RECOVERY if self is State.RESOLVED else EventType.ALERT


_STATES = {
    word: state
    for state, names in {
        State.FIRING: "firing fired fire alert alerting alarm triggered trigger open opened active activated problem"
        " raised raise critical error warning warn failed failure fail failing down unhealthy degraded new create"
        " created started start unresolved reopened reopen incident unreachable offline breached unknown major minor"
        " fatal crit err unreach problema störung проблема 告警 故障 问题 障害 異常 장애 발생",
        State.RESOLVED: "resolved resolve recovered recovery recover ok okay closed close clear cleared normal success"
        " succeeded successful up healthy inactive deactivated ended end fixed passed passing restored online"
        " operational canceled cancelled gelöst behoben résolu rétabli resuelto recuperado resolvido risolto решено"
        " восстановлено 恢复 恢復 已恢复 正常 已解决 復旧 回復 解消 복구 정상 해제",
        State.ACKNOWLEDGED: "acknowledged acknowledge acknowledgement acknowledgment ack acked snoozed snooze silenced"
        " muted assigned downtimestart downtimeend downtimeremoved downtimecancelled flappingstart flappingstop"
        " flappingend flappingdisabled",
    }.items()
    for word in names.split()
}
# They decide as the first word of several too: "resolved by timeout", but not "ok with warnings".
_DECISIVE = words("resolved recovered recovery cleared closed acknowledged firing triggered opened")

# States that say how bad it is, and have no other meaning as a severity.
_SEVERITY_OF_STATE = {
    "down": Severity.CRITICAL,
    "unreachable": Severity.CRITICAL,
    "offline": Severity.CRITICAL,
    "failed": Severity.ERROR,
    "failure": Severity.ERROR,
    "fail": Severity.ERROR,
    "failing": Severity.ERROR,
    "unhealthy": Severity.ERROR,
    "degraded": Severity.WARNING,
    "unknown": Severity.NOT_AVAILABLE,
    "nodata": Severity.NOT_AVAILABLE,
}

_REACHABILITY = words("up down unreachable online offline")

# A severity that is the end of the alert (Alerta, Kapacitor, LibreNMS).
_OVER = words("ok okay clear cleared normal recovered resolved up success healthy")

_MARKS = (
    "(?:re-)?triggered|(?:re-)?warn|(?:re-)?no data|warning|critical|error|alert|alerting|firing|ok|resolved|recovered"
    "|recovery|cleared|renotify|problem|down|up|acknowledged|acknowledgement|p[1-5]"
    "|告警|故障|问题|恢复|恢復|已恢复|正常|已解决|障害|復旧|回復|장애|발생|복구|정상|해제"
)
_LABELS = (
    "problem|resolved(?: in [^:]{1,40})?|recovered|recovery|cleared|firing|triggered|alerting|ok|acknowledgement"
    "|告警|故障|问题|恢复|恢復|已恢复|正常|已解决|障害|復旧|回復|장애|발생|복구|정상|해제"
    "|(?-i:ALERT|ALARM|CRITICAL|CRIT|WARNING|WARN|UNKNOWN|DOWN|UP)"
)
# An emoji may stand before a mark or in its bracket. Other characters of the title stay.
_state_mark = re.compile(
    rf"[^\w\[({{\"'/<#@$%&*+.~-]*(?:[\[(][^\w\[(]{{0,4}}({_MARKS})\b[^\])]*[\])]|({_LABELS})(?:\s*[:：](?!:)|\s+[-–—|]\s))\s*",
    re.IGNORECASE,
)
_inner_mark = re.compile(rf"\[[^\w\[\]]{{0,4}}({_MARKS})[^\w\[\]]{{0,4}}\]", re.IGNORECASE)
_shouted = re.compile(
    r"\b(RECOVERY|RECOVERED|RESOLVED|CLEARED|ACKNOWLEDGE(?:MENT|D)|DOWNTIME(?:START|END|REMOVED|CANCELLED)"
    r"|FLAPPING(?:START|STOP|END|DISABLED)|(?<=\bis )(?:OK|UP|DOWN|CRITICAL|WARNING|UNKNOWN|UNREACHABLE))\b"
)
_upper_word = re.compile(r"\b[A-Z]{2,}\b")
_ENDINGS = words(
    "ok okay up normal healthy online operational resolved recovered cleared closed restored succeeded success"
    " successful passed fixed down critical warning unknown failed failing unhealthy offline degraded unreachable"
)
_BEFORE_ENDINGS = words("is are was has have been now back to in state") | {""}
# At the end of a title they need no verb or dash before them, as others do: "backed up", "door closed".
_CLEAR_ENDINGS = words("resolved recovered cleared restored succeeded failed")
_PUNCTUATION = "[](){}<>.,;:!*\"'-–—|→="
_negation = re.compile(r"\b(?:not|no|non|never|cannot|unable|without|partially)\b|n't\b|\bfail(?:ed|s|ure)? to\b", re.I)
_separator = re.compile(r"[\W_]+")
_MOST_PARTS = 4  # words of a state; more are a text
_TITLE_LENGTH = 300  # characters that are searched


def named_severity(word: Json) -> Severity | None:
    """Return the severity of a word in any case, also of `ALERT_CRITICALITY_CRITICAL`, `1 - Critical`; or None."""
    written = text(word).lower()
    severity = _SEVERITIES.get(written)
    if severity is not None or not written:
        return severity
    parts = _parts(written)
    if len(parts) < 2 or _negation.search(written):
        return None
    return _SEVERITIES.get(parts[-1]) or _SEVERITIES.get(parts[0])


def chosen_severity(word: Json, options: Options) -> Severity | None:
    """Return the severity by the webhook's own table (`options.values.severity`), else by the word, or None."""
    if options:
        table = mapping(mapping(options.get("values")).get("severity"))
        written = text(word)
        if written and (found := table.get(written) or table.get(written.lower())):
            return named_severity(found)
    return named_severity(word)


def priority_severity(value: Json) -> Severity | None:
    """Return CRITICAL for P1 or 1, to INFO for P5 or 5; None for other values."""
    return _PRIORITIES.get(text(value).lower())


def rising_severity(value: Json) -> Severity | None:
    """Return the severity of a priority that rises with its number: 1 is low, 3 is high, 4 is critical."""
    return _RISING.get(text(value))


def severity_of_state(word: Json) -> Severity | None:
    """Return the severity of a state such as CRITICAL, Down or failure; None for `firing` and the like."""
    for part in _parts(word):
        if severity := _SEVERITY_OF_STATE.get(part) or (_SEVERITIES.get(part) if part in _STATES else None):
            return severity
    return None


def means_over(severity: Json) -> bool:
    """Return True for a severity that tools send when the alert is over: `ok`, `cleared`."""
    return text(severity).lower() in _OVER


def named_state(word: Json) -> State | None:
    """Return the state of a word in any case, or of several as `ALERT_RECOVERY`, `alert.resolved`, `✅ Up`; or None.

    Booleans and numbers have no state.
    """
    if type(word) is not str:
        return None
    state = _STATES.get(word.strip().lower())
    if state is not None or not word:
        return state
    parts = _parts(word)
    if not parts or len(parts) > _MOST_PARTS:
        return None
    state = _STATES.get(parts[-1]) or (_STATES[parts[0]] if parts[0] in _DECISIVE else None)
    return None if state is None or _negation.search(word) else state


def _parts(word: Json) -> list[str]:
    written = text(word)[:100].lower().partition("(")[0]  # "OK (was CRITICAL)"
    return [part for part in _separator.split(written) if part]


def state_in_title(title: str) -> str:
    """Return the word that marks a title's state, or "".

    `[RESOLVED] x`, `✅ OK: x`, `[x] [Up]`, `Service RECOVERY notification`, `x is DOWN`, `x recovered`.
    """
    title = title[:_TITLE_LENGTH]
    start = 0
    while found := _state_mark.match(title, start):
        word = (found[1] or found[2]).lower().partition(" ")[0]
        if word in _STATES:
            return word
        start = found.end()
    if "[" in title and (found := _inner_mark.search(title)) and found[1].lower() in _STATES:
        return found[1].lower()
    found = _shouted.search(title)
    word = found[1].lower() if found else _split_ending(title)[1]
    return word if word and not _negation.search(title) else ""


def _split_ending(title: str) -> tuple[str, str]:
    """Return the title without the state at its end, and the state; the title and "" if it ends otherwise."""
    parts = title.split()
    while parts and not parts[-1].strip(_PUNCTUATION):
        parts.pop()
    if not parts:
        return title, ""
    last = parts.pop()
    word = last.strip(_PUNCTUATION).lower()
    if word not in _ENDINGS:
        return title, ""
    is_marked = word in _CLEAR_ENDINGS or last[0] in "[(" or bool(parts and parts[-1].endswith(":"))
    while parts and parts[-1].strip(_PUNCTUATION).lower() in _BEFORE_ENDINGS:
        parts.pop()
        is_marked = True
    return (" ".join(parts), word) if is_marked and parts else (title, "")


def bare_title(title: str) -> str:
    """Remove leading marks of state and priority: `[Triggered on {host:a}] [P1] Disk` becomes `Disk`.

    A title of marks only is kept. Other brackets belong to the title: `[prod] Disk`.
    """
    start = 0
    # Marks repeat: `[Triggered] [P1] Problem: ...`.
    while found := _state_mark.match(title, start):
        start = found.end()
    return title[start:].strip() or title


def stateless(title: str) -> str:
    """Return a bare title without the states in it, for a key.

    `Service PROBLEM notification` and `Service RECOVERY notification` become equal, `Lift is DOWN` becomes `Lift`.
    """
    kept, _ = _split_ending(title[:_TITLE_LENGTH])
    kept = _upper_word.sub(lambda found: "" if found[0].lower() in _STATES else found[0], kept)
    if "[" in kept:
        kept = _inner_mark.sub("", kept)
    return " ".join(kept.split()) or title


def is_state(title: str) -> bool:
    """Return True for a text that is nothing but the word of a state: `PROBLEM`."""
    return title.strip(" :[]!").lower() in _STATES


def is_reachability(state: Json) -> bool:
    """Return True for a state of a host or site itself: up, down, unreachable."""
    return text(state).lower() in _REACHABILITY


def recovery_severity(severity: Severity | None, event_type: EventType, otherwise: Severity) -> Severity:
    """Return the payload's severity; without one, INFO for a recovery, else `otherwise`."""
    if severity is not None:
        return severity
    return Severity.INFO if event_type is EventType.RECOVERY else otherwise
