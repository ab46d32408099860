//! What is counted by the hour, and of whom.

use std::fmt;
use std::str::FromStr;

use super::verdict::Tail;
use crate::engine::batch::{AuthOutcome, Event, Kind};

/// What is counted.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Measure {
    /// Lines of a source.
    Lines,
    /// Requests of a site.
    Requests,
    /// Log-ins that succeeded.
    Logins,
    /// Log-ins that failed, capped.
    Failures,
    /// Requests answered 4xx, but 404, capped.
    Refused,
    /// Requests answered 404, capped.
    NotFound,
    /// Requests answered 5xx, capped.
    Errors,
    /// Lines of error logs.
    ErrorLines,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Lines,
        Self::Requests,
        Self::Logins,
        Self::Failures,
        Self::Refused,
        Self::NotFound,
        Self::Errors,
        Self::ErrorLines,
    ];

    /// Its name in those of series.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Requests => "requests",
            Self::Logins => "logins",
            Self::Failures => "failed_logins",
            Self::Refused => "4xx",
            Self::NotFound => "404",
            Self::Errors => "5xx",
            Self::ErrorLines => "error_lines",
        }
    }

    /// What it is, at the beginning of a sentence.
    pub fn title(self) -> &'static str {
        match self {
            Self::Lines => "Lines",
            Self::Requests => "Requests",
            Self::Logins => "Log-ins",
            Self::Failures => "Failed log-ins",
            Self::Refused => "Requests refused (4xx)",
            Self::NotFound => "Requests for what is not there (404)",
            Self::Errors => "Server errors (5xx)",
            Self::ErrorLines => "Lines of the error log",
        }
    }

    /// So many of one client, and for log-ins of one client and user, count within an hour: one
    /// scanner and one forgetful person are the rules' business, the crowd is the rhythm's.
    pub(super) fn cap(self) -> Option<u32> {
        match self {
            Self::Failures => Some(3),
            Self::Refused | Self::NotFound | Self::Errors => Some(10),
            Self::Lines | Self::Requests | Self::Logins | Self::ErrorLines => None,
        }
    }

    /// Somebody should know of too much, or too little, of it: nobody misses errors.
    pub(super) fn is_of_interest(self, tail: Tail) -> bool {
        tail == Tail::High || matches!(self, Self::Lines | Self::Requests | Self::Logins)
    }

    /// What `event` counts for besides its line.
    pub(super) fn of_event(event: &Event<'_>) -> [Option<Self>; 3] {
        let row = event.row();
        let (request, answer) = match row.kind {
            Kind::Access => {
                let answer = match row.status {
                    404 => Some(Self::NotFound),
                    400..500 => Some(Self::Refused),
                    500.. => Some(Self::Errors),
                    _ => None,
                };
                (Some(Self::Requests), answer)
            }
            Kind::ServerError => (None, Some(Self::ErrorLines)),
            Kind::Auth | Kind::ParseFailure => (None, None),
        };
        let login = match row.auth {
            Some(auth) if auth.outcome == AuthOutcome::Success => Some(Self::Logins),
            Some(_) if event.is_failed_login() => Some(Self::Failures),
            _ => None,
        };
        [request, answer, login]
    }
}

/// A series: what is counted, and the site or source it is counted of.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SeriesName {
    /// What is counted.
    pub measure: Measure,
    /// The site; of lines the source. Hostile text.
    pub of: String,
}

impl fmt::Display for SeriesName {
    /// `requests@www.example.org`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.measure.name(), self.of)
    }
}

impl FromStr for SeriesName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, of) = text.split_once('@').ok_or(())?;
        let measure = Measure::ALL.into_iter().find(|measure| measure.name() == name).ok_or(())?;
        Ok(Self { measure, of: of.to_owned() })
    }
}
