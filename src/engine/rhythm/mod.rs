//! The rhythm of the week: how much of something is usual at this hour, and how odd it is when
//! it is otherwise.
//!
//! A [`Series`] learns one count an hour: requests of a site, log-ins that failed. It knows what
//! each of the 168 hours of the week usually holds, how the whole grows, and how much counts vary
//! around that. Each hour is then judged in three ways, alone and as the last of three and of
//! twenty-four hours, for too much and for too little; so a burst, an outage, a slow trickle and a
//! Thursday on which nobody came are all seen. Every judgement is one probability of a known
//! distribution, which [`Test`] holds with all that went into it.
//!
//! How odd is too odd follows from a [`Budget`]: the false alarms that one is ready to have in a
//! week. It is divided over all series, so that more of them do not mean more noise.
//!
//! Pure: hours and counts come in, verdicts go out.
//!
//! Invariants: hours come in order, each once, or they are passed over; an hour that raised an
//! alarm does not teach the model what is usual; a series takes [`STATE_BYTES_MAX`] at most.

mod budget;
mod caps;
pub mod clients;
mod hour_counts;
mod measure;
mod record;
mod series;
mod tail;
mod verdict;
mod watch;

pub use budget::Budget;
pub use measure::{Measure, SeriesName};
pub use record::STATE_BYTES_MAX;
pub use series::{Hour, SLOTS, Series, Stage};
pub use verdict::{Band, SCALES, Scale, Tail, Test, Verdict};
pub use watch::{ALARMS_PER_WEEK, Odd, Rhythm, SITES_MAX, Standing};
