//! Who is expected: the people who should log in.

use std::collections::HashSet;

use jiff::civil::Date;

use crate::units::Day;

/// People at most; a longer file is refused.
const MEMBERS_MAX: usize = 1_000_000;

/// One of the people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The name they log in with, lower-case.
    pub user: String,
    /// What people call them; may be empty.
    pub name: String,
    /// The group they belong to; may be empty.
    pub group: String,
    /// The first day on which they are expected again.
    pub exempt_until: Option<Day>,
}

/// The people who should log in, by the names they do it with. Case does not matter.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Roster {
    /// In the order of `user`.
    members: Vec<Member>,
}

/// A list that cannot be read.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RosterError {
    /// Line of the file.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl Roster {
    /// Reads CSV with a head: the column `user`, and if there are any `name`, `group` and
    /// `exempt_until`. Other columns are passed over.
    pub fn read(text: &[u8]) -> Result<Self, RosterError> {
        let error = |line: u64, reason: String| RosterError { line, reason };
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text);
        let head = reader.headers().map_err(|source| error(1, source.to_string()))?.clone();
        let column = |name: &str| head.iter().position(|known| known.eq_ignore_ascii_case(name));
        let Some(user) = column("user") else {
            let reason = "the first line names no column `user`; begin with `user,name,group`";
            return Err(error(1, reason.to_owned()));
        };
        let (name, group, exempt) = (column("name"), column("group"), column("exempt_until"));
        let (mut members, mut users) = (Vec::new(), HashSet::new());
        for record in reader.records() {
            let record = record.map_err(|source| {
                let line = source.position().map_or(0, csv::Position::line);
                error(line, source.to_string())
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or_default();
            let user = folded(cell(Some(user)));
            if user.is_empty() {
                return Err(error(line, "there is no name in the column `user`".to_owned()));
            }
            if !users.insert(user.clone()) {
                return Err(error(line, format!("`{user}` is there twice")));
            }
            if members.len() == MEMBERS_MAX {
                return Err(error(line, format!("there are more than {MEMBERS_MAX} people")));
            }
            let exempt = Some(cell(exempt)).filter(|text| !text.is_empty());
            let exempt = exempt.map(|text| Day::try_from(text.to_owned())).transpose();
            members.push(Member {
                user,
                name: cell(name).to_owned(),
                group: cell(group).to_owned(),
                exempt_until: exempt.map_err(|reason| error(line, reason))?,
            });
        }
        members.sort_by(|a: &Member, b| a.user.cmp(&b.user));
        Ok(Self { members })
    }

    /// The people, in the order of their names.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The one who logs in as `user`.
    pub fn member(&self, user: &[u8]) -> Option<&Member> {
        let user = folded(std::str::from_utf8(user).ok()?);
        let at = self.members.binary_search_by(|member| member.user.cmp(&user)).ok()?;
        Some(&self.members[at])
    }

    /// How many are expected on `day`.
    pub fn expected(&self, day: Date) -> usize {
        let is_expected = |member: &&Member| member.exempt_until.is_none_or(|until| until.0 <= day);
        self.members.iter().filter(is_expected).count()
    }
}

fn folded(user: &str) -> String {
    user.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().expect("a day")
    }

    #[test]
    fn people_are_found_whatever_the_case() {
        let text = "\u{feff}Name,User,exempt_until,phone\n\"Roe, Jane\", J.Roe ,,1\nM\u{fc}ller,\
                    M\u{dc}LLER,2026-12-01\n";
        let roster = Roster::read(text.as_bytes()).expect("a roster");
        let jane = roster.member(b"j.ROE").expect("a member");
        assert_eq!(("Roe, Jane", ""), (&*jane.name, &*jane.group));
        assert!(roster.member("m\u{fc}ller".as_bytes()).is_some());
        assert_eq!(None, roster.member(b"root"));
        assert_eq!(None, roster.member(b"j.\xff"));
        assert_eq!(1, roster.expected(day("2026-11-30")));
        assert_eq!(2, roster.expected(day("2026-12-01")));
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(expected, Roster::read(text.as_bytes()).expect_err("refused").to_string());
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused_with_its_line() {
        check_error(
            "login\nalice\n",
            "line 1: the first line names no column `user`; begin with `user,name,group`",
        );
        check_error("user,name\nalice,A\n,B\n", "line 3: there is no name in the column `user`");
        check_error("user,name\nalice,A\nAlice,B\n", "line 3: `alice` is there twice");
        check_error(
            "user,exempt_until\nalice,soon\n",
            "line 2: `soon` is no day such as `2027-06-30`",
        );
    }
}
