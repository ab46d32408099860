//! What is sent to be shown in a page: script, and what runs it.

use super::{Class, Pattern, every, target};

/// Names of handlers of events in pages.
macro_rules! events {
    () => {
        "on(?:abort|after|animation|auxclick|before|begin|blur|cancel|canplay|change|click|close|context|copy|cue|\
         cut|dbl|drag|drop|duration|emptied|end|error|focus|form|fullscreen|gotpointer|hash|input|invalid|key|load|\
         lost|media|message|mouse|moz|offline|page|paste|pause|play|pointer|popstate|progress|rate|ready|repeat|\
         reset|resize|scroll|search|seek|select|show|stalled|storage|submit|suspend|time|toggle|touch|transition|\
         unhandled|unload|volume|waiting|webkit|wheel|zoom)[a-z]*"
    };
}

pub(super) const PATTERNS: &[Pattern] = &[
    every(
        Class::Xss,
        &["<"],
        r"<[ /]*(?:[\w-]+ ?: ?)?(?:script|iframe|embed|applet|svg|frameset|frame|i?layer|xss|vmlframe|isindex|marquee|noscript|bgsound|foreignobject|handler|listener)(?:[\s/>+\x01:'\x22#<-]|$)",
    ),
    every(
        Class::Xss,
        &["<"],
        r"<[ /]*(?:[\w-]+:)?(?:meta|link|base|object|style|form|body|html|img|image|video|audio|input|button|details|dialog|select|textarea|keygen|div|table|td|tr|th|p|b|a|x|ul|li|math|bdo|isindex|title|head|template|span|font|center|br|hr|xml|set|animate|\w{2,12})\b[^>\x01]{0,300}?(?:[\s/'\x22]on[a-z]{3,40} ?=|[\s/'\x22](?:style|background|dynsrc|lowsrc|srcdoc|formaction|xlink:href|http-equiv|codebase|classid|datasrc|datafld|behaviou?r) ?=|(?:java|vb|live)script:|mocha:|xmlns)",
    ),
    every(
        Class::Xss,
        &["<"],
        r"<[ /]*(?:(?:img|image|video|audio|input|body|source|track|bgsound)\b[^>\x01]{0,200}?[\s/]src ?=|base\b[^>\x01]*href[ /]*=|link\b[^>\x01]*(?:href|rel)[ /]*=|object\b[^>\x01]*(?:data|type|classid) ?=|meta\b[^>\x01]*(?:content|charset|http-equiv) ?=|a\b[^>\x01]*href ?=['\x22 ]*(?:javascript|vbscript|data)|(?:form|style|math|details|dialog|textarea|xml|html|head|body|title|table|div|head)[ />])",
    ),
    target(
        Class::Xss,
        &["<"],
        r"<\$? ?[a-z](?: [a-z]){3}|<\w+[/ ][^>\x01]{0,80}\bpattern ?=|<[a-z]+:\w+ [a-z]+ ?=",
    ),
    target(
        Class::Xss,
        &[" on", "\non", "'on", "\"on", "`on", "/on", ";on", "<on", "&on"],
        concat!(r"[\s'\x22`/;<&]", events!(), r"[ /]*="),
    ),
    target(
        Class::Xss,
        &["script", "mocha:", "t:", "t :", "t\n:"],
        r"[\x02\x22'=`(;,:> /](?:j ?a ?v ?a ?|vb|live)s ?c ?r ?i ?p ?t ?: ?(?:[^\x01]{0,80}?(?:alert|confirm|prompt|eval|document|cookie|fromcharcode|fetch|import|location|settimeout|expression|function ?\(|window\.|top\.|//|%0a)|\[code|&)|[\x02\x22'=`(] ?(?:javascript|vbscript|livescript|mocha) ?:[^ \x01]|\burl ?\( ?['\x22]?javascript|\bjav ascript:|[\x02\x22\x27=(]j?[ \n]?(?:a[ \n]?v[ \n]?a|v[ \n]?b)[ \n]?s[ \n]?c[ \n]?r[ \n]?i[ \n]?p[ \n]?t[ \n]?:(?:[^ \x01]|\x01|$)",
    ),
    target(
        Class::Xss,
        &["data:"],
        r"[\x02\x22'=(, ;]data: ?(?:text/html|text/javascript|image/svg|application/xhtml|;?base64|, ?(?:alert|<))",
    ),
    target(
        Class::Xss,
        &[
            "document.",
            "document ",
            "document)",
            "document[",
            "window.",
            "window[",
            "window [",
            "self[",
            "self [",
            "top[",
            "top [",
            "parent[",
            "parent [",
            "frames[",
            "frames [",
            "globalthis",
            "this[",
            "this [",
        ],
        r"(?:^|[^/\w])document ?\)? ?[.\[] ?\(?['\x22/]?(?:cookie|domain|write|body|location|url|referrer|forms|create|query|documentelement|getelement|append|title)|\b(?:window|self|top|parent|frames|globalthis|this) ?\[ ?['\x22(/]|\bwindow\.(?:location|name|open|onerror|document|eval)\b",
    ),
    target(
        Class::Xss,
        &[
            "alert(",
            "alert (",
            "alert`",
            "alert `",
            "confirm(",
            "confirm (",
            "confirm`",
            "confirm `",
            "prompt(",
            "prompt (",
            "prompt`",
            "prompt `",
            "eval(",
            "eval (",
            "eval`",
            "eval `",
            "fromcharcode",
            "settimeout",
            "setinterval",
            "innerhtml",
            "outerhtml",
            "insertadjacent",
        ],
        r"(?:alert|confirm|prompt) ?(?:\((?:[^s\x01]|s[^)]|\))|`)|\beval ?(?:\(|`)|\bstring\.fromcharcode|\bset(?:timeout|interval) ?\(|\.(?:inner|outer)html\b|\binsertadjacenthtml",
    ),
    target(
        Class::Xss,
        &[".call", "call`", "call `", ".apply", ".constructor", "reflect.", "[]"],
        r"\] ?\. ?\w+ ?\. ?call ?`|\breflect ?\. ?\w+ ?\. ?(?:call|apply)|\.constructor ?[.(\['`]|\[\] ?\[ ?['\x22(!+]|\(!\[\]\+",
    ),
    target(
        Class::Xss,
        &["style=", "style =", "ession(", "ession (", "binding", "behavior", "url(", "&{", "url ("],
        r"\bstyle ?= ?[^\x01]{0,60}(?:expression|-moz-binding|behaviou?r ?:)|: ?expr?[^\x01]{0,20}ession ?\(|\bexpression ?\((?:alert|document|eval|\w+\()|-moz-binding|\bbehaviou?r ?: ?url|[:;] ?url ?\( ?['\x22]? ?(?:javascript|data)|&\{",
    ),
    target(
        Class::Xss,
        &[
            "srcdoc",
            "formaction",
            "xlink:href",
            "xmlns",
            "!entity",
            "!doctype",
            "xi:include",
            "adw-",
            "![cdata",
            "http-equiv",
        ],
        r"\bsrcdoc ?=|\bformaction ?=|\bxlink:href ?=|\bxmlns(?::\w+)? ?=|!entity %? ?\w+ system|<!doctype \w+ ?\[|<xi:include|adw-|<!\[cdata\[|\bhttp-equiv ?=",
    ),
    target(
        Class::Xss,
        &["\"", "'", "`"],
        r"['\x22`][> ;/-]*</?(?:script|title|textarea|style|\w{1,10}>)|['\x22]>['\x22]?<|['\x22] ?(?:\+|-|;) ?(?:alert|prompt|confirm)\b|;!--['\x22]",
    ),
    target(
        Class::Xss,
        &[".cookie", "onerror", "onload"],
        r"\.cookie ?[;=]|;expires=|\bon(?:error|load) ?= ?(?:alert|prompt|confirm|eval|fetch|location)",
    ),
    every(
        Class::Xss,
        &["!entity", "url(", "url ("],
        r"!entity %? ?\w+ system|\burl ?\( ?['\x22]?(?:java|vb)script",
    ),
];
