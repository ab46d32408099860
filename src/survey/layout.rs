//! Log formats as servers define them: which of ours they are, what they leave out, and the line
//! that would add it.
//!
//! Pure. A definition that our compiler refuses is told with its complaint, and its log is read by
//! finding out the format from the lines.

use std::collections::BTreeSet;

use super::model::{Layout, Place, Server, Shape};
use crate::engine::format::Format;

/// nginx's own `combined`.
pub const NGINX_COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// Apache's `combined`, as its documentation has it.
const APACHE_COMBINED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#;

/// A format of nginx: `text` is what its arguments come to, `escape` what `escape=` says.
pub fn nginx(name: &str, text: &str, escape: &str, place: Option<Place>) -> Layout {
    let shape = if !matches!(escape, "" | "default") {
        let text = text.replace('\\', "\\\\").replace('\'', "\\'");
        written(&format!("log_format {name} escape={escape} '{text}';"))
    } else if text == NGINX_COMBINED {
        Ok(Shape::Named("combined"))
    } else if text == format!("{NGINX_COMBINED} \"$http_x_forwarded_for\"") {
        Ok(Shape::Named("nginx_main"))
    } else {
        written(text)
    };
    Layout { escape: escape.to_owned(), ..layout(name, text, place, shape) }
}

/// A format of Apache.
///
/// `combined` and `common` are not taken by name: Apache logs when a request began, and Debian the
/// whole response instead of its body, which only the definition says.
pub fn apache(name: &str, text: &str, place: Option<Place>) -> Layout {
    let vhost = APACHE_COMBINED.replace("%b", "%O");
    let shape = match text.strip_prefix("%v:%p ") {
        Some(rest) if rest == vhost => Ok(Shape::Named("vhost_combined")),
        _ if text == format!("{APACHE_COMBINED} %I %O") => Ok(Shape::Named("combinedio")),
        _ => written(text),
    };
    layout(name, text, place, shape)
}

fn written(text: &str) -> Result<Shape, String> {
    match Format::written(text) {
        Ok(_) => Ok(Shape::Written(text.to_owned())),
        Err(error) => Err(error.to_string()),
    }
}

fn layout(name: &str, text: &str, place: Option<Place>, shape: Result<Shape, String>) -> Layout {
    let (name, text) = (name.to_owned(), text.to_owned());
    match shape {
        Ok(shape) => Layout { shape, name, text, place, ..Layout::default() },
        Err(complaint) => {
            Layout { name, text, place, complaint: Some(complaint), ..Layout::default() }
        }
    }
}

/// How much is lost without a column.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Need {
    /// More would be seen with it.
    Useful,
    /// Rules that come along are weaker without it.
    Important,
    /// Next to nothing is seen without it.
    Vital,
}

/// What is known about a log beside its format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    /// Several sites write to it.
    pub many_sites: bool,
    /// A proxy stands in front, and the server does not look behind it.
    pub hidden_clients: bool,
    /// A site that writes to it speaks TLS.
    pub tls: bool,
    /// A site that writes to it asks for passwords.
    pub protected: bool,
}

/// Something that a format should tell.
struct Column {
    /// For people: "how long a request took".
    what: &'static str,
    /// Variables of nginx, one of which is enough.
    nginx: &'static [&'static str],
    /// Directives of Apache without modifiers, lower-cased headers.
    apache: &'static [&'static str],
    /// What to add, to nginx's format and to Apache's.
    add: (&'static str, &'static str),
    /// What it is good for.
    unlocks: &'static str,
    need: fn(Circumstances) -> Option<Need>,
}

const COLUMNS: &[Column] = &[
    Column {
        what: "the client's address",
        nginx: &["remote_addr", "realip_remote_addr", "proxy_protocol_addr", "http_x_real_ip"],
        apache: &["%h", "%a"],
        add: ("$remote_addr", "%a"),
        unlocks: "every rule about clients",
        need: |_| Some(Need::Vital),
    },
    Column {
        what: "the time",
        nginx: &["time_local", "time_iso8601", "msec"],
        apache: &["%t"],
        add: ("[$time_local]", "%t"),
        unlocks: "when anything happened; without it the time of reading is taken",
        need: |_| Some(Need::Vital),
    },
    Column {
        what: "the request",
        nginx: &["request", "request_uri", "uri", "document_uri"],
        apache: &["%r", "%U"],
        add: ("\"$request\"", "\\\"%r\\\""),
        unlocks: "probing for missing paths, log-in pages",
        need: |_| Some(Need::Vital),
    },
    Column {
        what: "the status",
        nginx: &["status"],
        apache: &["%s"],
        add: ("$status", "%>s"),
        unlocks: "failed log-ins, bursts of 403 and 404, server errors: nearly every rule",
        need: |_| Some(Need::Vital),
    },
    Column {
        what: "the user name",
        nginx: &["remote_user"],
        apache: &["%u"],
        add: ("\"$remote_user\"", "\\\"%u\\\""),
        unlocks: "who failed to log in: brute force against one user, password spraying",
        need: |log| Some(if log.protected { Need::Vital } else { Need::Important }),
    },
    Column {
        what: "the user agent",
        nginx: &["http_user_agent"],
        apache: &["%{user-agent}i"],
        add: ("\"$http_user_agent\"", "\\\"%{User-Agent}i\\\""),
        unlocks: "scanners and robots by name",
        need: |_| Some(Need::Important),
    },
    Column {
        what: "the client behind the proxy",
        nginx: &["http_x_forwarded_for", "proxy_add_x_forwarded_for", "http_forwarded"],
        apache: &["%{x-forwarded-for}i", "%{forwarded}i"],
        add: ("\"$http_x_forwarded_for\"", "\\\"%{X-Forwarded-For}i\\\""),
        unlocks: "the real client instead of the proxy, with trusted_proxies in [client]",
        need: |log| log.hidden_clients.then_some(Need::Vital),
    },
    Column {
        what: "the site",
        nginx: &["host", "http_host", "server_name"],
        apache: &["%v", "%V", "%{host}i"],
        add: ("\"$host\"", "%v"),
        unlocks: "rules and reports for each site instead of all in one",
        need: |log| Some(if log.many_sites { Need::Important } else { Need::Useful }),
    },
    Column {
        what: "how long a request took",
        nginx: &["request_time"],
        apache: &["%D", "%T"],
        add: ("$request_time", "%D"),
        unlocks: "response times in events and metrics, exact starts of slow requests",
        need: |_| Some(Need::Useful),
    },
    Column {
        what: "the connection",
        nginx: &["connection"],
        apache: &["%{remote}p"],
        add: ("$connection", "%{remote}p"),
        unlocks: "the error-log line that belongs to a request",
        need: |_| Some(Need::Useful),
    },
    Column {
        what: "the TLS version",
        nginx: &["ssl_protocol"],
        apache: &["%{ssl_protocol}x", "%{ssl_protocol}c"],
        add: ("\"$ssl_protocol\"", "%{SSL_PROTOCOL}x"),
        unlocks: "clients with outdated TLS",
        need: |log| log.tls.then_some(Need::Useful),
    },
];

/// A column that a format leaves out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Missing {
    /// For people.
    pub what: &'static str,
    /// What it would be good for.
    pub unlocks: &'static str,
    /// How much it matters.
    pub need: Need,
    add: (&'static str, &'static str),
}

/// What `layout` leaves out, the most needed first.
pub fn missing(layout: &Layout, server: Server, log: Circumstances) -> Vec<Missing> {
    if layout.text.is_empty() {
        return Vec::new();
    }
    let (variables, directives) = (variables(&layout.text), directives(&layout.text));
    let mut missing = Vec::new();
    for column in COLUMNS {
        let has = match server {
            Server::Nginx => column.nginx.iter().any(|name| variables.contains(*name)),
            Server::Apache => column.apache.iter().any(|name| directives.contains(*name)),
            Server::Caddy | Server::System => true,
        };
        if let (false, Some(need)) = (has, (column.need)(log)) {
            let Column { what, unlocks, add, .. } = *column;
            missing.push(Missing { what, unlocks, need, add });
        }
    }
    missing.sort_by_key(|one| std::cmp::Reverse(one.need));
    missing
}

/// The directive that defines `layout` with `missing` added under a new `name`, ready to be pasted.
pub fn suggestion(
    layout: &Layout,
    server: Server,
    missing: &[Missing],
    name: &str,
) -> Option<String> {
    match server {
        Server::Nginx => {
            let escape = match layout.escape.as_str() {
                "" => String::new(),
                escape => format!("escape={escape} "),
            };
            let text = match layout.text.trim_end().strip_suffix('}') {
                Some(members) if layout.text.trim_start().starts_with('{') => {
                    with_members(members, missing)
                }
                _ => missing
                    .iter()
                    .fold(layout.text.clone(), |text, one| format!("{text} {}", one.add.0)),
            };
            let text = text.replace('\\', "\\\\").replace('\'', "\\'");
            Some(format!("log_format {name} {escape}'{text}';"))
        }
        Server::Apache => {
            let mut text = layout.text.replace('\\', "\\\\").replace('"', "\\\"");
            missing.iter().for_each(|one| text.push_str(&format!(" {}", one.add.1)));
            Some(format!("LogFormat \"{text}\" {name}"))
        }
        Server::Caddy | Server::System => None,
    }
}

/// A JSON object that was cut before its last brace, with a member for each missing column.
fn with_members(object: &str, missing: &[Missing]) -> String {
    let mut text = object.trim_end().to_owned();
    for one in missing {
        let name = one.add.0.trim_matches(['"', '[', ']', '$']);
        text.push_str(&format!(",\"{name}\":\"${name}\""));
    }
    text + "}"
}

/// The directive that makes a log use the suggested format.
pub fn use_of_suggestion(server: Server, path: &str, name: &str) -> String {
    match server {
        Server::Apache => format!("CustomLog {path} {name}"),
        Server::Nginx | Server::Caddy | Server::System => {
            format!("access_log {path} {name};")
        }
    }
}

/// The time is written without the zone it is in.
pub fn lacks_zone(layout: &Layout, server: Server) -> bool {
    if server != Server::Apache {
        return false;
    }
    let times: Vec<String> = directives_with_arguments(&layout.text)
        .into_iter()
        .filter(|one| one.ends_with('t'))
        .collect();
    let zoned = |one: &String| {
        let epoch = ["{sec}", "{msec}", "{usec}", "%s", "%z", "%Z"];
        one == "%t" || epoch.iter().any(|part| one.contains(part))
    };
    !times.is_empty() && !times.iter().any(zoned)
}

/// Variables that a text of nginx names, without their `$`.
fn variables(text: &str) -> BTreeSet<String> {
    let name = |part: &str| {
        let part = part.strip_prefix('{').unwrap_or(part);
        let end = part.find(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        part[..end.unwrap_or(part.len())].to_owned()
    };
    text.split('$').skip(1).map(name).collect()
}

/// Directives that a text of Apache names: `%s` for `%>s`, `%{user-agent}i`, `%t` for any time.
fn directives(text: &str) -> BTreeSet<String> {
    let plain = |one: String| match one.as_bytes().last() {
        Some(b'i' | b'x' | b'c' | b'p') if one.contains('{') => {
            let (head, letter) = one.split_at(one.len() - 1);
            format!("{}{letter}", head.to_ascii_lowercase())
        }
        Some(letter) => format!("%{}", char::from(*letter)),
        None => one,
    };
    directives_with_arguments(text).into_iter().map(plain).collect()
}

/// Each directive as `%{argument}letter`, its modifiers left out.
fn directives_with_arguments(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            rest = after;
            continue;
        }
        let is_modifier = |char: char| matches!(char, '<' | '>' | '!' | ',' | '0'..='9');
        rest = rest.trim_start_matches(is_modifier);
        let mut argument = String::new();
        if let Some((inside, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            argument = format!("{{{inside}}}");
            rest = after.trim_start_matches(is_modifier);
        }
        if let Some(letter) = rest.chars().next() {
            found.push(format!("%{argument}{letter}"));
            rest = &rest[letter.len_utf8()..];
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_missing(layout: &Layout, server: Server, log: Circumstances, expected: &[&str]) {
        let missing: Vec<&str> = missing(layout, server, log).iter().map(|one| one.what).collect();
        assert_eq!(expected, missing);
    }

    #[test]
    fn known_definitions_are_known_by_name() {
        let main = format!("{NGINX_COMBINED} \"$http_x_forwarded_for\"");
        assert_eq!(Shape::Named("nginx_main"), nginx("main", &main, "", None).shape);
        assert_eq!(Shape::Named("combined"), nginx("x", NGINX_COMBINED, "default", None).shape);
        let vhost = r#"%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i""#;
        assert_eq!(Shape::Named("vhost_combined"), apache("v", vhost, None).shape);
        let own = Shape::Written(APACHE_COMBINED.to_owned());
        assert_eq!(own, apache("combined", APACHE_COMBINED, None).shape);
    }

    #[test]
    fn a_definition_with_another_escape_keeps_it() {
        let layout = nginx("j", r#"{"a":"$remote_addr","it's":"$status"}"#, "json", None);
        let Shape::Written(text) = &layout.shape else { panic!("{layout:?}") };
        assert_eq!(r#"log_format j escape=json '{"a":"$remote_addr","it\'s":"$status"}';"#, text);
    }

    #[test]
    fn a_definition_that_cannot_be_read_says_why() {
        let layout = nginx("x", "$remote_addr$status", "", None);
        assert_eq!(Shape::Auto, layout.shape);
        assert!(layout.complaint.expect("a complaint").contains("side by side"));
    }

    #[test]
    fn what_a_format_leaves_out_depends_on_what_stands_around_it() {
        let combined = nginx("combined", NGINX_COMBINED, "", None);
        let alone = Circumstances::default();
        check_missing(
            &combined,
            Server::Nginx,
            alone,
            &["the site", "how long a request took", "the connection"],
        );
        let behind = Circumstances { hidden_clients: true, tls: true, ..alone };
        check_missing(
            &combined,
            Server::Nginx,
            behind,
            &[
                "the client behind the proxy",
                "the site",
                "how long a request took",
                "the connection",
                "the TLS version",
            ],
        );
        let poor = apache("p", "%a %{%F %T}t %U", None);
        check_missing(
            &poor,
            Server::Apache,
            alone,
            &[
                "the status",
                "the user name",
                "the user agent",
                "the site",
                "how long a request took",
                "the connection",
            ],
        );
        assert!(lacks_zone(&poor, Server::Apache));
        assert!(!lacks_zone(&apache("p", "%a %{%F %T %z}t %U", None), Server::Apache));
        assert!(!lacks_zone(&apache("p", "%a %{msec}t %U", None), Server::Apache));
    }

    /// What is suggested must be what we can read.
    #[test]
    fn a_suggested_line_compiles_and_has_all_columns() {
        let all =
            Circumstances { hidden_clients: true, tls: true, many_sites: true, protected: true };
        for text in [NGINX_COMBINED, "$remote_addr '$status'", r"$remote_addr \$time_local"] {
            let layout = nginx("x", text, "", None);
            let missing = missing(&layout, Server::Nginx, all);
            let line = suggestion(&layout, Server::Nginx, &missing, "gatewatch").expect("a line");
            assert!(Format::written(&line).is_ok(), "{line}");
            assert!(line.contains("$request_time") && line.contains("$http_x_forwarded_for"));
        }
        let json = nginx("j", r#"{"ip":"$remote_addr","it's":"$status"}"#, "json", None);
        let columns = missing(&json, Server::Nginx, Circumstances::default());
        let line = suggestion(&json, Server::Nginx, &columns, "g").expect("a line");
        assert_eq!(
            concat!(
                r#"log_format g escape=json '{"ip":"$remote_addr","it\'s":"$status","#,
                r#""time_local":"$time_local","request":"$request","remote_user":"$remote_user","#,
                r#""http_user_agent":"$http_user_agent","host":"$host","#,
                r#""request_time":"$request_time","connection":"$connection"}';"#
            ),
            line
        );
        assert!(Format::written(&line).is_ok(), "{line}");
        let layout = apache("x", APACHE_COMBINED, None);
        let missing = missing(&layout, Server::Apache, all);
        let line = suggestion(&layout, Server::Apache, &missing, "gatewatch").expect("a line");
        let inside = line.strip_prefix("LogFormat ").expect("a directive");
        assert!(Format::written(&format!("LogFormat {inside}")).is_ok(), "{line}");
        assert!(line.contains("%D") && line.ends_with("gatewatch"), "{line}");
    }
}
