//! One event as encoders see it: its fields by name, its limits, and what its batch has in common.
//!
//! Invariant: a view borrows; making one allocates nothing.

use std::cell::Cell;
use std::io::Write as _;
use std::net::IpAddr;

use super::limits::{Limits, SHORT};
use super::{OriginEncoder, Part};
use crate::engine::batch::{Event, Field, Row};
use crate::units::Timestamp;

/// What an encoding is asked to write.
pub(super) struct View<'v> {
    pub(super) encoder: &'v OriginEncoder<'v>,
    pub(super) event: Event<'v>,
    pub(super) row: &'v Row,
    pub(super) fields: Fields<'v>,
    pub(super) part: Part,
    pub(super) limits: &'static Limits,
    /// When the line was read.
    pub(super) created: Timestamp,
    pub(super) client: AddressText,
}

/// The fields of one event by their name, empty ones left out.
///
/// An empty text says as little as an absent one; only an empty query means something.
pub(super) struct Fields<'a> {
    event: Event<'a>,
    /// The place of each in the event's list, from 1; 0 where it is not there. Bytes, because all of
    /// it is cleared for each event.
    rare: [u8; RARE],
    /// A bit for each of them: most events have none of most groups.
    present: u128,
}

const RARE: usize = Field::LabelName as usize - Field::Peer as usize;
const _: () = assert!(RARE <= u128::BITS as usize, "there is a bit for each");

impl<'a> Fields<'a> {
    pub(super) fn of(event: Event<'a>) -> Self {
        let (mut rare, mut present) = ([0; RARE], 0);
        // What stands behind 255 columns of the operator's own is left out.
        for (number, field) in (1..=u8::MAX).zip(event.rare_fields()) {
            // Of a field that was set twice the first counts, as it does for rules.
            let index = (field as usize) - (Field::Peer as usize);
            if let Some(place @ 0) = rare.get_mut(index) {
                *place = number;
                present |= 1 << index;
            }
        }
        Self { event, rare, present }
    }

    #[inline]
    pub(super) fn present(&self, field: Field) -> Option<&'a [u8]> {
        match (field as usize).checked_sub(Field::Peer as usize) {
            Some(place) => match self.rare[place] {
                0 => None,
                number => self.event.rare_value(usize::from(number) - 1),
            },
            None => self.event.field(field),
        }
    }

    /// One of the fields from `first` to `last`, in the order of [`Field`], is there.
    #[inline]
    pub(super) fn has_any(&self, first: Field, last: Field) -> bool {
        let (first, last) = (first as u32 - Field::Peer as u32, last as u32 - Field::Peer as u32);
        self.present >> first & ((1 << (last - first + 1)) - 1) != 0
    }

    #[inline]
    pub(super) fn value(&self, field: Field) -> Option<&'a [u8]> {
        self.present(field).filter(|value| !value.is_empty())
    }
}

/// Walks over the labels of an event: at most [`LABELS_MAX`], each name once.
pub(super) struct Labels<'a> {
    event: &'a Event<'a>,
    seen: usize,
}

/// A format of the operator's names its columns; more than this many is a mistake.
const LABELS_MAX: usize = 32;

impl<'a> Labels<'a> {
    pub(super) fn new(event: &'a Event<'a>) -> Self {
        Self { event, seen: 0 }
    }

    pub(super) fn next_label(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        loop {
            let (name, value) = self.pairs().nth(self.seen).filter(|_| self.seen < LABELS_MAX)?;
            let written = |name: &'a [u8]| name.iter().take(SHORT).map(|byte| label_byte(*byte));
            let earlier = self.pairs().take(self.seen);
            self.seen += 1;
            let repeated = earlier.into_iter().any(|(other, _)| written(other).eq(written(name)));
            if !name.is_empty() && !value.is_empty() && !repeated {
                return Some((name, value));
            }
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut name: &[u8] = b"";
        self.event.rare().filter_map(move |(field, value)| match field {
            Field::LabelName => {
                name = value;
                None
            }
            Field::LabelValue => Some((std::mem::take(&mut name), value)),
            _ => None,
        })
    }
}

/// A label's name is made of letters, digits, `-` and `_`: a dot would open an object.
pub(super) fn label_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() || byte == b'-' { byte } else { b'_' }
}

/// The text of the last time that was written: neighbours often have the same one.
#[derive(Debug)]
pub(super) struct TimeText(Cell<(Timestamp, [u8; Self::LEN])>);

impl TimeText {
    const LEN: usize = "1970-01-01T00:00:00.000Z".len();

    pub(super) fn new() -> Self {
        Self(Cell::new((Timestamp(0), *b"1970-01-01T00:00:00.000Z")))
    }

    pub(super) fn push(&self, time: Timestamp, out: &mut Vec<u8>) {
        let (last, text) = self.0.get();
        if last == time {
            out.extend_from_slice(&text);
            return;
        }
        time.write_rfc3339(out);
        if let Some(text) = out.last_chunk() {
            self.0.set((time, *text));
        }
    }
}

/// An address as text without an allocation; empty where there is none.
pub(super) struct AddressText {
    bytes: [u8; Self::LEN_MAX],
    len: usize,
}

impl AddressText {
    /// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
    const LEN_MAX: usize = 46;

    pub(super) fn of(address: Option<IpAddr>) -> Self {
        let mut text = Self { bytes: [0; Self::LEN_MAX], len: 0 };
        match address.map(|address| address.to_canonical()) {
            None => (),
            Some(IpAddr::V4(v4)) => {
                let mut number = itoa::Buffer::new();
                for (index, octet) in v4.octets().into_iter().enumerate() {
                    if index != 0 {
                        text.push(b".");
                    }
                    text.push(number.format(octet).as_bytes());
                }
            }
            Some(IpAddr::V6(v6)) => {
                let mut rest = &mut text.bytes[..];
                let written = write!(rest, "{v6}");
                let left = rest.len();
                text.len = if written.is_ok() { Self::LEN_MAX - left } else { 0 };
            }
        }
        text
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
