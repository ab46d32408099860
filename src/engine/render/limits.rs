//! How long a field may be, and what an event gives up when a whole message must be short.

/// Longest text of a field without a limit of its own, in characters.
pub(super) const TEXT: usize = 1024;
/// Longest name of a host, a program, a service or a cipher.
pub(super) const WORD: usize = 256;
/// Longest name of a label, of a scheme or of a cache's verdict.
pub(super) const SHORT: usize = 64;
/// Longest method, and longest version of a protocol.
pub(super) const TOKEN: usize = 32;

/// Stands for the names of what was cut where all went but what says what happened: to name each would
/// take the room that was needed.
pub(super) const ALL_ELSE: &str = "*";

/// What of an event is written: limits in characters, and whole parts.
#[derive(Debug)]
pub(super) struct Limits {
    /// `event.original`, where the operator wants it kept.
    pub(super) original: usize,
    /// `event.original` of a line that no format read: all that is known of it.
    pub(super) unread: usize,
    /// `related` and the diagnostics under `gatewatch`.
    pub(super) diagnostics: bool,
    pub(super) user_agent: usize,
    pub(super) referrer: usize,
    pub(super) query: usize,
    pub(super) target: usize,
    pub(super) path: usize,
    pub(super) user: usize,
    pub(super) message: usize,
    /// Only what identifies the event.
    pub(super) minimal: bool,
}

/// A step on the way from a whole event to the least that still says what happened.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Shrink(u8);

impl Shrink {
    /// The whole event.
    pub const NONE: Self = Self(0);

    /// The next smaller step; `None` behind the smallest.
    pub fn next(self) -> Option<Self> {
        (usize::from(self.0) + 1 < STEPS.len()).then_some(Self(self.0 + 1))
    }

    pub(super) fn limits(self) -> &'static Limits {
        &STEPS[usize::from(self.0)]
    }
}

const WHOLE: Limits = Limits {
    original: 65_536,
    unread: 65_536,
    diagnostics: true,
    user_agent: 1024,
    referrer: 2048,
    query: 8192,
    target: 8192,
    path: 4096,
    user: 256,
    message: 1024,
    minimal: false,
};
const NO_ORIGINAL: Limits = Limits { original: 0, unread: 4096, ..WHOLE };
const NO_DIAGNOSTICS: Limits = Limits { diagnostics: false, ..NO_ORIGINAL };
const SHORT_AGENT: Limits = Limits { user_agent: 256, ..NO_DIAGNOSTICS };
const SHORT_REFERRER: Limits = Limits { referrer: 256, ..SHORT_AGENT };
const SHORT_URL: Limits = Limits { query: 512, target: 1024, unread: 1024, ..SHORT_REFERRER };
const SHORTER_URL: Limits = Limits { query: 128, target: 128, path: 128, ..SHORT_URL };
const MINIMAL: Limits =
    Limits { unread: 128, user: 128, message: 128, minimal: true, ..SHORTER_URL };
/// Fits into 2048 octets even where each character takes six: a hostile client cannot make its
/// events too long to be sent.
const LEAST: Limits = Limits { unread: 32, user: 32, message: 32, path: 32, ..MINIMAL };

/// In the order in which receivers miss the parts least.
const STEPS: [Limits; 9] = [
    WHOLE,
    NO_ORIGINAL,
    NO_DIAGNOSTICS,
    SHORT_AGENT,
    SHORT_REFERRER,
    SHORT_URL,
    SHORTER_URL,
    MINIMAL,
    LEAST,
];
