//! Which alert somebody means: the code of a mail, as much of it as is needed, or a whole id.

use anyhow::Result;

use super::Refused;
use crate::engine::detect::Alert;
use crate::escape::{cut, visible};
use crate::store::{AlertFilter, StoreReader};

/// Alerts named in a complaint.
const CANDIDATES_MAX: usize = 8;

/// Digits of a whole id.
const DIGITS_MAX: usize = 32;

/// The alert that `typed` means, as it was told last; else a complaint that names those it could be.
pub(super) fn find(reader: &StoreReader, typed: &str) -> Result<Alert> {
    let digits = digits_of(typed)?;
    let mut found = reader.alerts_named(&digits, CANDIDATES_MAX + 1)?;
    match (found.len(), found.pop()) {
        (1, Some(alert)) => Ok(alert),
        (_, None) => {
            let newest =
                reader.alerts(&AlertFilter { limit: CANDIDATES_MAX, ..AlertFilter::default() })?;
            let hint = match newest.is_empty() {
                true => "no alert was raised so far".to_owned(),
                false => format!("the newest ones are:\n{}", list(&newest)),
            };
            let typed = visible(typed);
            Err(Refused::no_input(format!("no alert has the code {typed}; {hint}")))
        }
        (count, Some(last)) => {
            found.push(last);
            let more = if CANDIDATES_MAX < count { "\n  …" } else { "" };
            found.truncate(CANDIDATES_MAX);
            Err(Refused::usage(format!(
                "{} is the begin of more than one code; write more of it, up to the whole id:\n{}{more}",
                visible(typed),
                list(&found),
            )))
        }
    }
}

/// The digits of a code: hyphens are for reading only.
fn digits_of(typed: &str) -> Result<String> {
    let digits: String =
        typed.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let is_hex = digits.chars().all(|c| c.is_ascii_hexdigit());
    if digits.is_empty() || DIGITS_MAX < digits.len() || !is_hex {
        let typed = visible(typed);
        return Err(Refused::usage(format!(
            "`{}` is no code of an alert; it looks like 7A2F-4C1D and is in each mail and in the \
             list of `gatewatch alerts`",
            cut(&typed, 60)
        )));
    }
    Ok(digits)
}

fn list(alerts: &[Alert]) -> String {
    let mut known = std::collections::BTreeSet::new();
    let lines = alerts.iter().filter(|alert| known.insert(alert.id.clone())).map(|alert| {
        let (time, summary) = (alert.at.rfc3339(), visible(&alert.summary));
        format!("  {}  {time}  {}", alert.code(), cut(&summary, 70))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, expected: Option<&str>) {
        assert_eq!(expected, digits_of(typed).ok().as_deref(), "{typed}");
    }

    #[test]
    fn a_code_is_read_as_people_write_it() {
        check("7A2F-4C1D", Some("7a2f4c1d"));
        check("7a2f4c", Some("7a2f4c"));
        check("37c2b9cd7088dc36dbf9094acf7818cc", Some("37c2b9cd7088dc36dbf9094acf7818cc"));
        check("", None);
        check("-", None);
        check("7A2F_4C1D", None);
        check("' OR 1", None);
        check("37c2b9cd7088dc36dbf9094acf7818cc0", None);
    }
}
