//! Line breaks that start headers or commands of mail, and lines of a log.

use super::{Class, Pattern, every, target};

pub(super) const PATTERNS: &[Pattern] = &[
    every(
        Class::HeaderInjection,
        &["\n"],
        r"\n ?(?:set-cookie|location|content-(?:type|length|encoding|disposition)|host|x-[\w-]{2,30}|transfer-encoding|refresh|access-control-\w+|cookie|bcc|cc|reply-to|mime-version) ?: ?\S|\n ?(?:get|post|head|put|delete|options|trace|connect|patch) \S+ http/\d|\n ?http/\d\.\d \d{3}|\n ?(?:mail from ?:|rcpt to ?:|ehlo [\w.]|helo [\w.]|vrfy \w|expn \w)|\n[a-z]{1,2}\d{1,4} (?:examine|select|search|copy|store|list|fetch|login|append)\b|\x01[^\x02]*\n",
    ),
    target(
        Class::HeaderInjection,
        &[" http/"],
        r"\x02(?:[^\x01]*\n)? ?(?:get|post|head|put|delete|options|trace|connect) (?:https?://|/)[^ \x01]* http/\d",
    ),
    every(
        Class::LogInjection,
        &["http/", "\n", " ["],
        r"\d{1,3}(?:\.\d{1,3}){3} \S+ \S+ \[\d\d/[a-z]{3}/\d{4}:|\x22 (?:get|post|head) \S+ http/\d\.\d\x22 \d{3}|\x22(?:get|post|head) /[^\x22]* http/\d\.\d\x22 \d{3} |\n ?(?:\d{1,3}(?:\.\d{1,3}){3} |\[?\d{4}-\d\d-\d\d[t ]\d\d:\d\d|[a-z]{3} [ \d]\d \d\d:\d\d:\d\d |<\d{1,3}>)|\n ?\[?(?:info|warn|warning|error|debug|notice|alert|critical)[\]:] ",
    ),
];
