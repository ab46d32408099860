//! Sigma's log sources and field names, and what they are here.

use rsigma_parser::LogSource;

use crate::engine::batch::Field;
use crate::engine::detect::field::Subject;
use crate::engine::detect::predicate::{Literal, Predicate};

/// Sigma's names of fields of web servers and proxies. Names of the Elastic Common Schema stand for
/// themselves.
///
/// The published rules hold whole paths against `cs-uri-query`, so it is the target as it was
/// asked for, path and query.
pub const FIELDS: &[(&str, Subject)] = &[
    ("c-ip", Subject::SourceIp),
    ("src_ip", Subject::SourceIp),
    ("cs-username", Subject::Text(Field::User)),
    ("cs-method", Subject::Text(Field::Method)),
    ("cs-uri", Subject::Text(Field::Target)),
    ("cs-uri-query", Subject::Text(Field::Target)),
    ("c-uri", Subject::Text(Field::Target)),
    ("c-uri-query", Subject::Text(Field::Target)),
    ("cs-uri-stem", Subject::Text(Field::Path)),
    ("c-uri-stem", Subject::Text(Field::Path)),
    ("c-uri-extension", Subject::Extension),
    ("cs-uri-extension", Subject::Extension),
    ("sc-status", Subject::Status),
    ("cs-user-agent", Subject::Text(Field::UserAgent)),
    ("c-useragent", Subject::Text(Field::UserAgent)),
    ("cs-referer", Subject::Text(Field::Referrer)),
    ("cs-referrer", Subject::Text(Field::Referrer)),
    ("c-referer", Subject::Text(Field::Referrer)),
    ("cs-host", Subject::Text(Field::Domain)),
    ("r-dns", Subject::Text(Field::Domain)),
    ("cs-version", Subject::Protocol),
    ("sc-bytes", Subject::Bytes),
    ("cs-bytes", Subject::Text(Field::RequestBytes)),
    ("time-taken", Subject::TimeTaken),
    ("s-ip", Subject::Text(Field::DestinationIp)),
    ("dst_ip", Subject::Text(Field::DestinationIp)),
    ("s-port", Subject::Text(Field::DestinationPort)),
    ("dst_port", Subject::Text(Field::DestinationPort)),
    ("src_port", Subject::Text(Field::ClientPort)),
    ("s-computername", Subject::Text(Field::Hostname)),
    ("s-sitename", Subject::Text(Field::Service)),
    ("sc-win32-status", Subject::Text(Field::IisWin32Status)),
    ("sc-substatus", Subject::Text(Field::IisSubstatus)),
];

/// The field that a Sigma rule calls `name`.
pub fn subject(name: &str) -> Result<Subject, String> {
    let known = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, subject)| *subject);
    known.or_else(|| Subject::named(name)).ok_or_else(|| format!("no log here has `{name}`"))
}

/// The logs that a rule is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// Requests, and what web servers say about them.
    Web,
    /// A program of the system that writes about log-ins, or all of them.
    System(Option<&'static str>),
    /// It does not say.
    Any,
}

/// Log sources by the part of the rule that names them: a category says more than a service, and
/// that more than a product.
const CATEGORIES: &[(&str, Source)] = &[("webserver", Source::Web), ("proxy", Source::Web)];

const SERVICES: &[(&str, Source)] = &[
    ("apache", Source::Web),
    ("nginx", Source::Web),
    ("iis", Source::Web),
    ("haproxy", Source::Web),
    ("sshd", Source::System(Some("sshd"))),
    ("sudo", Source::System(Some("sudo"))),
    ("auth", Source::System(None)),
];

const PRODUCTS: &[(&str, Source)] = &[
    ("apache", Source::Web),
    ("nginx", Source::Web),
    ("iis", Source::Web),
    ("haproxy", Source::Web),
    ("linux", Source::System(None)),
];

impl Source {
    pub(super) fn of(source: &LogSource) -> Option<Self> {
        let find = |table: &[(&str, Self)], name: &str| {
            let row = table.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            row.map(|(_, source)| *source)
        };
        match (&source.category, &source.service, &source.product) {
            (Some(category), ..) => find(CATEGORIES, category),
            (None, Some(service), _) => find(SERVICES, service),
            (None, None, Some(product)) => find(PRODUCTS, product),
            (None, None, None) => Some(Self::Any),
        }
    }

    /// Which events come from there. A line that could not be read may be from anywhere: what an
    /// attacker garbles is not to be lost.
    pub(super) fn condition(self) -> Predicate {
        let text = |subject: Subject, modifiers: &[&str], value: &str| {
            let value = Literal::Text(value.to_owned());
            Predicate::entry("logsource", subject, modifiers, &[value], &self::subject)
                .expect("a text is a sound entry")
        };
        let unread = || text(Subject::EventKind, &[], "pipeline_error");
        match self {
            Self::Any => Predicate::ALWAYS,
            Self::Web => Predicate::Any(vec![text(Subject::Category, &[], "web"), unread()]),
            Self::System(program) => {
                let mut known = vec![text(Subject::Module, &[], "system")];
                let mut other = vec![unread()];
                if let Some(program) = program {
                    known.push(text(Subject::Text(Field::Process), &["startswith"], program));
                    other.push(text(Subject::Line, &["contains"], program));
                }
                Predicate::Any(vec![Predicate::All(known), Predicate::All(other)])
            }
        }
    }
}

/// A log source in the words of its rule.
pub(super) fn in_words(source: &LogSource) -> String {
    let parts = [
        ("category", &source.category),
        ("product", &source.product),
        ("service", &source.service),
    ];
    let said = parts
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("`{name}: {value}`")));
    said.collect::<Vec<_>>().join(", ")
}
