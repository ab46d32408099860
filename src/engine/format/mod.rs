//! Log formats: from the bytes of one line to the fields of one event.
//!
//! Each format is one row in [`FORMATS`]; the table drives lookup by name, the help text,
//! automatic detection and the golden tests. A parser either reads the whole line or says why not
//! ([`Miss`]); it never panics and never guesses.

mod apache;
mod apache_error;
mod appserver;
mod auth;
mod aws;
mod capture;
mod clf;
mod columns;
mod combined;
mod definition;
mod envelope;
mod envoy;
mod haproxy;
mod iis_native;
mod journald;
mod json;
mod lighttpd_error;
mod modsecurity;
mod nginx;
mod nginx_error;
mod pattern;
mod places;
mod php;
mod proxy_manager;
mod set;
mod squid;
mod template;
mod traefik;
#[cfg(test)]
pub(crate) mod testing;
mod tomcat;
mod vote;
mod w3c;
mod wrapper;

use std::sync::Arc;

use super::batch::{Module, Writer};
use super::time::TimeReader;
pub use definition::{FormatError, base_of, directives_of, fields_text, state_of, with_state};
use json::written::WrittenJson;
pub(super) use nginx_error::{NAME as NGINX_ERROR, record as nginx_record};
use pattern::RegexFormat;
pub(super) use php::NAME as PHP_ERROR;
pub use places::Column;
pub use set::{FormatSet, FormatState};
use template::Template;
pub(super) use tomcat::NAME as TOMCAT_ERROR;
pub use vote::{SAMPLE_LINES, Vote, detect, detect_after, vote};
use w3c::W3c;
pub use wrapper::Wrapper;

/// Why a format does not read a line; the names are the values of the `reason` label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Miss {
    /// The shape is another one.
    Shape,
    /// The shape fits and the time is none.
    Time,
    /// The shape fits and the status is none.
    Status,
    /// The shape fits and the client is neither an address nor a host name.
    Client,
}

impl Miss {
    /// The value of the `reason` label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shape => "no_match",
            Self::Time => "bad_time",
            Self::Status => "bad_status",
            Self::Client => "bad_client",
        }
    }

    /// All reasons, for counters that start at zero.
    pub const ALL: [Self; 4] = [Self::Shape, Self::Time, Self::Status, Self::Client];
}

/// What a parser may use beside the line.
#[derive(Debug)]
pub struct Context<'c> {
    /// Reads times in the zone of the source.
    pub times: &'c mut TimeReader,
}

/// A format known by name.
pub struct FormatEntry {
    /// The name in configuration and on the command line.
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
    build: fn() -> Result<Format, String>,
}

/// Every format known by name; `auto` tries them all. Of formats that read a line equally well the
/// one that reads more fields wins, then the one that stands first.
pub const FORMATS: &[FormatEntry] = &[
    FormatEntry {
        name: "combined",
        help: "nginx and Apache: client, ident, user, time, request, status, bytes, referrer, agent",
        build: || shared("combined", COMBINED, false),
    },
    FormatEntry {
        name: "common",
        help: "Common Log Format: combined without referrer and agent",
        build: || shared("common", COMMON, false),
    },
    FormatEntry {
        name: "forwarded_combined",
        help: "X-Forwarded-For in quotes in front of combined",
        build: || {
            shared("forwarded_combined", &format!("\"%{{X-Forwarded-For}}i\" {COMBINED}"), true)
        },
    },
    FormatEntry {
        name: "vhost_combined",
        help: "Debian's Apache: site and port in front of combined",
        // Debian logs the whole response, not its body.
        build: || vhost("vhost_combined", &COMBINED.replace("%b", "%O")),
    },
    FormatEntry {
        name: "vhost_common",
        help: "site in front of common",
        build: || vhost("vhost_common", COMMON),
    },
    FormatEntry {
        name: "nginx_main",
        help: "nginx's packaged `main`: combined and X-Forwarded-For",
        build: || {
            let text = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for""#;
            nginx::compile("nginx_main", text).map(Format::template)
        },
    },
    FormatEntry {
        name: "combinedio",
        help: "Apache: combined and the bytes in and out",
        build: || {
            let text = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %I %O"#;
            apache::compile("combinedio", text, false).map(Format::template)
        },
    },
    FormatEntry {
        name: "userless_combined",
        help: "combined without the column of the user",
        build: || shared("userless_combined", &COMBINED.replace("%l %u", "-"), true),
    },
    FormatEntry {
        name: "litespeed",
        help: "LiteSpeed: combined with quotes around the line",
        build: || shared("litespeed", &format!("\"{COMBINED}\""), true),
    },
    FormatEntry {
        name: "ingress_nginx",
        help: "Kubernetes' ingress-nginx: combined and what the upstream did",
        build: || {
            let text = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id"#;
            nginx::compile("ingress_nginx", text).map(Format::template)
        },
    },
    FormatEntry {
        name: "ingress_nginx_old",
        help: "the same as it was before 0.28, with the client's address twice",
        build: || {
            let text = r#"$remote_addr - [$the_real_ip] - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id"#;
            nginx::compile("ingress_nginx_old", text).map(Format::template)
        },
    },
    FormatEntry {
        name: "apache_ssl_request",
        help: "Apache's ssl_request_log: client, version of TLS, cipher, request, bytes",
        build: || {
            let text = r#"%t %h %{SSL_PROTOCOL}x %{SSL_CIPHER}x "%r" %b"#;
            apache::compile("apache_ssl_request", text, false).map(Format::template)
        },
    },
    FormatEntry {
        name: "nginx_proxy_manager",
        help: "Nginx Proxy Manager: logs of hosts and of the fallback",
        build: || Ok(Format::Fixed(&proxy_manager::FORMAT)),
    },
    FormatEntry {
        name: "traefik_clf",
        help: "Traefik: combined, router, server and duration",
        build: || Ok(Format::Fixed(&traefik::FORMAT)),
    },
    FormatEntry {
        name: "clf",
        help: "any relative of common: time in brackets, request in quotes, columns around",
        build: || Ok(Format::Fixed(&clf::FORMAT)),
    },
    FormatEntry {
        name: "nginx_error",
        help: "nginx's error log",
        build: || Ok(Format::Fixed(&nginx_error::FORMAT)),
    },
    FormatEntry {
        name: "apache_error",
        help: "Apache's error log, 2.2 and 2.4",
        build: || Ok(Format::Fixed(&apache_error::FORMAT)),
    },
    FormatEntry {
        name: "lighttpd_error",
        help: "lighttpd's error log",
        build: || Ok(Format::Fixed(&lighttpd_error::FORMAT)),
    },
    FormatEntry {
        name: "php",
        help: "PHP's error log and the log of PHP-FPM",
        build: || Ok(Format::Fixed(&php::FORMAT)),
    },
    FormatEntry {
        name: "tomcat",
        help: "Tomcat's own log, catalina.out",
        build: || Ok(Format::Fixed(&tomcat::FORMAT)),
    },
    FormatEntry {
        name: "haproxy",
        help: "HAProxy: HTTP, HTTPS, TCP and CLF logs, with syslog's head or without",
        build: || Ok(Format::Fixed(&haproxy::FORMAT)),
    },
    FormatEntry {
        name: "envoy",
        help: "Envoy's and Istio's access logs as text",
        build: || Ok(Format::Fixed(&envoy::FORMAT)),
    },
    FormatEntry {
        name: "squid",
        help: "Squid's own access log",
        build: || Ok(Format::Fixed(&squid::FORMAT)),
    },
    FormatEntry {
        name: "uwsgi",
        help: "uWSGI's request log",
        build: || Ok(Format::Fixed(&appserver::UWSGI)),
    },
    FormatEntry {
        name: "django",
        help: "Django's runserver",
        build: || Ok(Format::Fixed(&appserver::DJANGO)),
    },
    FormatEntry {
        name: "gin",
        help: "Gin's request log",
        build: || Ok(Format::Fixed(&appserver::GIN)),
    },
    FormatEntry {
        name: "rails",
        help: "Rails: where each request started",
        build: || Ok(Format::Fixed(&appserver::RAILS)),
    },
    FormatEntry {
        name: "alb",
        help: "AWS: application load balancers",
        build: || Ok(Format::Fixed(&aws::ALB)),
    },
    FormatEntry {
        name: "elb",
        help: "AWS: classic load balancers",
        build: || Ok(Format::Fixed(&aws::ELB)),
    },
    FormatEntry {
        name: "s3",
        help: "AWS: server access logs of S3",
        build: || Ok(Format::Fixed(&aws::S3)),
    },
    FormatEntry {
        name: "auth",
        help: "auth.log and secure: sshd, PAM, sudo and su lines of syslog",
        build: || Ok(Format::Fixed(&auth::FORMAT)),
    },
    FormatEntry {
        name: "w3c",
        help: "W3C extended, with `#Fields:`: IIS, its FTP, HTTPERR, CloudFront",
        build: || Ok(Format::W3c(W3c::default())),
    },
    FormatEntry {
        name: "iis_native",
        help: "IIS's own format: a fixed list of columns with commas",
        build: || Ok(Format::Fixed(&iis_native::FORMAT)),
    },
    FormatEntry {
        name: "caddy",
        help: "Caddy's JSON: requests, errors and the rest",
        build: || Ok(Format::Fixed(&json::CADDY)),
    },
    FormatEntry {
        name: "traefik_json",
        help: "Traefik's access log in JSON",
        build: || Ok(Format::Fixed(&json::TRAEFIK)),
    },
    FormatEntry {
        name: "journald",
        help: "journalctl -o json: the lines of auth, as journald exports them",
        build: || Ok(Format::Fixed(&journald::FORMAT)),
    },
    FormatEntry {
        name: "json",
        help: "any other JSON: requests, log-ins and lines of programs, told by their keys",
        build: || Ok(Format::Fixed(&json::GENERAL)),
    },
    FormatEntry {
        name: "app",
        help: "log-ins in any other log of an application: a time and a message, or key=value",
        build: || Ok(Format::Fixed(&auth::app::FORMAT)),
    },
];

const COMMON: &str = r#"%h %l %u %t "%r" %>s %b"#;
const COMBINED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#;

fn shared(name: &'static str, text: &str, client_is_address: bool) -> Result<Format, String> {
    apache::compile_shared(name, text, client_is_address).map(Format::template)
}

fn vhost(name: &'static str, text: &str) -> Result<Format, String> {
    // Without the demand for an address, `host user` would pass for `site client`.
    apache::compile(name, &format!("%v {text}"), true).map(Format::template)
}

/// A compiled format.
#[derive(Clone, Debug)]
pub enum Format {
    /// Literals and captures in turn.
    Template(Arc<Template>),
    /// The operator's expression.
    Regex(Box<RegexFormat>),
    /// JSON whose keys the operator's `log_format` names, or their `fields`, then pairs too.
    Json(Arc<WrittenJson>),
    /// A parser written by hand, that keeps nothing from line to line.
    Fixed(&'static FixedFormat),
    /// The columns are named by lines of the file.
    W3c(W3c),
}

/// A format whose parser is a function of the line alone. Each has a file of its own here and a
/// constant of this type in it.
#[derive(Debug)]
pub struct FixedFormat {
    /// `gatewatch.format` in its events.
    pub(super) name: &'static str,
    /// The program family whose lines these are.
    pub(super) module: Module,
    /// How many fields it can read, to be weighed against other formats that read a line too; or
    /// [`FAMILY`], or [`LAST_RESORT`].
    pub(super) captures: usize,
    pub(super) parse: ParseLine,
}

/// The weight of a reader of whole families of formats: it gets the lines that no other reads whole.
pub(super) const FAMILY: usize = 1;

/// The weight of a reader that is sure of a time at most: it gets what nobody else reads at all.
pub(super) const LAST_RESORT: usize = 0;

/// Reads one line into the open row, or says why it cannot.
pub(super) type ParseLine = fn(&[u8], &mut Context<'_>, &mut Writer<'_>) -> Result<(), Miss>;

impl Format {
    fn template(template: Template) -> Self {
        Self::Template(Arc::new(template))
    }

    /// The format of that name.
    pub fn named(name: &str) -> Result<Self, FormatError> {
        let Some(entry) = FORMATS.iter().find(|entry| entry.name == name) else {
            let names: Vec<&str> = FORMATS.iter().map(|entry| entry.name).collect();
            let near = crate::units::nearest(name, names.iter().copied());
            let hint = near.map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
            return Err(FormatError::Unknown {
                name: name.to_owned(),
                hint,
                known: names.join(", "),
            });
        };
        Ok((entry.build)().expect("the formats of the table compile: a test builds each"))
    }

    /// A format as the server's configuration writes it: nginx's where a `$` names a variable,
    /// Apache's otherwise.
    pub fn written(text: &str) -> Result<Self, FormatError> {
        if text.trim().is_empty() {
            let complaint = "it is empty".to_owned();
            return Err(FormatError::Definition { what: "log format", complaint });
        }
        let (what, compiled) = if text.contains('$') {
            ("log_format", nginx::written(text))
        } else {
            ("LogFormat", apache::written(text))
        };
        compiled.map_err(|complaint| FormatError::Definition { what, complaint })
    }

    /// Keys of JSON objects or of `key=value`, as [`fields_text`] writes them.
    pub fn fields(text: &str) -> Result<Self, FormatError> {
        match json::mapped::compile(text) {
            Ok(format) => Ok(Self::Json(Arc::new(format))),
            Err(complaint) => Err(FormatError::Definition { what: "fields", complaint }),
        }
    }

    /// A regular expression whose groups are named as nginx variables.
    pub fn regex(pattern: &str) -> Result<Self, FormatError> {
        match RegexFormat::compile(pattern) {
            Ok(format) => Ok(Self::Regex(Box::new(format))),
            Err(complaint) => Err(FormatError::Definition { what: "pattern", complaint }),
        }
    }

    /// Reads one line into the row that `out` holds open. After a miss the row must be reset.
    pub fn parse(
        &mut self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        match self {
            Self::Template(template) => template.parse(line, cx, out),
            Self::Regex(regex) => regex.parse(line, cx, out),
            Self::Json(json) => json.parse(line, cx, out),
            Self::Fixed(fixed) => (fixed.parse)(line, cx, out),
            Self::W3c(w3c) => w3c.parse(line, cx, out),
        }
    }

    /// How many fields it can read.
    fn captures(&self) -> usize {
        match self {
            Self::Template(template) => template.captures(),
            Self::Regex(regex) => regex.captures(),
            Self::Json(json) => json.captures(),
            Self::Fixed(fixed) => fixed.captures,
            Self::W3c(w3c) => w3c.captures(),
        }
    }

    /// The names of the fields that its lines can have, where the format itself says that.
    pub fn names(&self) -> Option<Vec<&'static str>> {
        match self {
            Self::Template(template) => Some(template.names()),
            Self::Regex(_) | Self::Json(_) | Self::Fixed(_) | Self::W3c(_) => None,
        }
    }

    /// It is sure of no more than a time, so any format that reads a line whole knows better.
    fn is_last_resort(&self) -> bool {
        matches!(self, Self::Fixed(fixed) if fixed.captures == LAST_RESORT)
    }

    /// The program family whose lines these are, and the name of the format in their events.
    fn identity(&self) -> (Module, &'static str) {
        match self {
            Self::Template(template) => template.identity(),
            Self::Regex(_) => (Module::App, pattern::NAME),
            Self::Json(json) => json.identity(),
            Self::Fixed(fixed) => (fixed.module, fixed.name),
            Self::W3c(w3c) => w3c.identity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::units::Timestamp;

    fn times() -> TimeReader {
        TimeReader::new(TimeZone::UTC, Timestamp::from_secs(1_795_160_801))
    }

    #[test]
    fn every_format_of_the_table_compiles() {
        for entry in FORMATS {
            assert!((entry.build)().is_ok(), "{}", entry.name);
        }
    }

    #[test]
    fn the_format_that_reads_most_wins_the_vote() {
        let line = r#"192.0.2.45 - - [20/Nov/2026:07:00:06 +0000] "HEAD / HTTP/2.0" 304 210"#;
        for (text, expected) in [
            (line.to_owned(), "common"),
            (format!("{line} \"-\" \"-\""), "combined"),
            (format!("{line} \"-\" \"-\" \"-\""), "nginx_main"),
            (format!("{line} \"-\" \"-\" 120 240"), "combinedio"),
            (format!("www.example.org:443 {line} \"-\" \"-\""), "vhost_combined"),
            (format!("www.example.org {line}"), "vhost_common"),
            (format!("\"192.0.2.1, 192.0.2.2\" {line} \"-\" \"-\""), "forwarded_combined"),
            (format!("{} \"-\" \"-\"", line.replace("- -", "-")), "userless_combined"),
        ] {
            assert_eq!(format!("auto:{expected}"), detect(text.as_bytes(), &mut times()), "{text}");
        }
    }

    #[test]
    fn a_reader_of_the_family_gets_what_its_members_do_not_read() {
        let line =
            r#"192.0.2.45 - - [20/Nov/2026:07:00:06 +0000] "HEAD / HTTP/2.0" 304 210 "-" "-""#;
        let votes = |text: &str| {
            let votes = vote(text.as_bytes(), &mut times()).into_iter();
            votes
                .filter(|vote| 0.0 < vote.score)
                .map(|vote| (vote.name, vote.score))
                .collect::<Vec<_>>()
        };
        assert_eq!(Some(&("combined", 1.0)), votes(line).first());
        assert!(!votes(line).contains(&("clf", 1.0)));
        assert_eq!(Some(&("clf", 1.0)), votes(&format!("{line} rt=0.1 cs=HIT")).first());
        // Half of the lines are of one format, half of another: it is one of the two.
        let mixed = format!("{line}\nwww.example.org:443 {line}");
        assert_eq!("auto:vhost_combined", detect(mixed.as_bytes(), &mut times()));
    }

    #[test]
    fn what_stands_in_front_of_a_line_is_no_client() {
        let line =
            r#"192.0.2.45 - - [20/Nov/2026:07:00:06 +0000] "HEAD / HTTP/2.0" 304 210 "-" "-""#;
        let mut set = FormatSet::from_definition("auto:combined").expect("known");
        for front in ["Nov 20 07:00:06 web1 nginx: ", "<190>Nov 20 07:00:06 web1 nginx: "] {
            let line = format!("{front}{line}");
            let facts = testing::read(|line, cx, out| set.parse(line, cx, out), line.as_bytes());
            let client = facts.ok().and_then(|facts| facts.get("source.address").cloned());
            assert!(client.as_deref().is_none_or(|client| client == "192.0.2.45"), "{client:?}");
        }
    }

    #[test]
    fn an_unknown_format_is_refused_with_a_near_name() {
        let error = Format::named("combine").expect_err("no such format").to_string();
        assert!(error.contains("did you mean `combined`?"), "{error}");
    }
}
