//! The classes of attack that a signature tells, as a table and as a set of bits.
//!
//! To add one: a variant of [`Class`] and a row in [`CLASSES`], in the same order.

/// What a request looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Class {
    /// SQL injection.
    Sqli,
    /// Operators of a document database.
    Nosql,
    /// A filter of a directory service.
    Ldap,
    /// A query on XML.
    Xpath,
    /// Script in a page.
    Xss,
    /// A path out of the folder, or to a file of the system.
    Traversal,
    /// A file from elsewhere, to be run.
    Rfi,
    /// A command or code, to be run.
    Rce,
    /// A look-up that a logging library resolves.
    Jndi,
    /// An expression that a template engine computes.
    Template,
    /// An object whose reading runs code.
    Deserialization,
    /// An address that only the server itself can reach.
    Ssrf,
    /// A line break that starts a new header.
    HeaderInjection,
    /// Signs that forge a log line, or its look.
    LogInjection,
    /// A tool that looks for weaknesses.
    Scanner,
    /// A file that nobody should be able to ask for.
    SensitivePath,
    /// No sound request of HTTP.
    Protocol,
    /// A weakness with a number of its own.
    Cve,
}

/// A row of [`CLASSES`].
#[derive(Clone, Copy, Debug)]
pub struct ClassEntry {
    /// The class.
    pub class: Class,
    /// Its name in events and rules.
    pub name: &'static str,
    /// What it means, in one line.
    pub summary: &'static str,
}

const fn row(class: Class, name: &'static str, summary: &'static str) -> ClassEntry {
    ClassEntry { class, name, summary }
}

/// Every class, in the order of [`Class`].
pub const CLASSES: &[ClassEntry] = &[
    row(Class::Sqli, "sqli", "SQL injection: conditions, unions, functions, stacked statements"),
    row(Class::Nosql, "nosql", "operators of a document database where a value belongs"),
    row(Class::Ldap, "ldap", "a filter of a directory service, broken out of its brackets"),
    row(Class::Xpath, "xpath", "a query on an XML document"),
    row(Class::Xss, "xss", "script, event handlers or script addresses, to be shown in a page"),
    row(Class::Traversal, "traversal", "a path out of the folder, or one to a file of the system"),
    row(Class::Rfi, "rfi", "the address of a file elsewhere, where the name of a file belongs"),
    row(Class::Rce, "rce", "commands of a shell, or code in PHP, Java, Perl, Python, Ruby or Node"),
    row(Class::Jndi, "jndi", "a look-up that a Java logging library would resolve"),
    row(Class::Template, "template", "an expression that a template engine would compute"),
    row(Class::Deserialization, "deserialization", "a serialised object whose reading runs code"),
    row(
        Class::Ssrf,
        "ssrf",
        "an address that only the server can reach, as the value of a parameter",
    ),
    row(
        Class::HeaderInjection,
        "header_injection",
        "a line break in a value, to start a header or a request",
    ),
    row(
        Class::LogInjection,
        "log_injection",
        "control or direction signs in a field, or a whole log line",
    ),
    row(Class::Scanner, "scanner", "an agent that names a tool which looks for weaknesses"),
    row(Class::SensitivePath, "sensitive_path", "a path that leads to secrets, copies or consoles"),
    row(
        Class::Protocol,
        "protocol",
        "no sound request: odd method, tunnel, broken encoding, no HTTP",
    ),
    row(Class::Cve, "cve", "a path and method that belong to one published weakness"),
];

impl Class {
    /// Its row.
    fn entry(self) -> &'static ClassEntry {
        &CLASSES[self as usize]
    }

    /// Its name in events and rules.
    pub fn name(self) -> &'static str {
        self.entry().name
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Classes(u32);

impl Classes {
    /// No class.
    pub const NONE: Self = Self(0);

    /// The set of one.
    pub const fn of(class: Class) -> Self {
        Self(1 << class as u8)
    }

    /// Adds the members of `other`.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// `class` is a member.
    pub fn has(self, class: Class) -> bool {
        self.0 & Self::of(class).0 != 0
    }

    /// There is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        CLASSES.iter().map(|entry| entry.class).filter(move |class| self.has(*class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_follows_the_order_of_the_classes() {
        for (index, entry) in CLASSES.iter().enumerate() {
            assert_eq!(index, entry.class as usize, "{}", entry.name);
        }
        assert!(CLASSES.len() <= 32, "a set has 32 bits");
    }

    #[test]
    fn a_set_lists_its_members_once_in_the_order_of_the_table() {
        let mut set = Classes::NONE;
        for class in [Class::Cve, Class::Xss, Class::Sqli, Class::Xss] {
            set.add(Classes::of(class));
        }
        let names: Vec<&str> = set.iter().map(Class::name).collect();
        assert_eq!(["sqli", "xss", "cve"], names[..]);
        assert!(!set.has(Class::Rce));
    }
}
