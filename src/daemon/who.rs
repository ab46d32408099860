//! Who came on the day on which everybody should: what the store knows, judged for the report.

use jiff::civil::Date;

use super::digest::{Hours, ReportContext, alerts_of};
use crate::engine::detect::Alert;
use crate::report::Days;
use crate::report::compliance::list::WhoList;
use crate::report::compliance::{
    Compliance, ComplianceInput, DayRows, Doubts, Terms, Watched, day_in, days_before,
};
use crate::store::{StoreError, StoreReader};
use crate::units::Timestamp;

/// In the `meta` table: since when who comes is written down.
pub(super) const SINCE: &str = "attendance.since";

/// Section 2 of the report about `days`; none without a roster, or where the day is not among them.
pub(super) fn compliance(
    reader: &StoreReader,
    days: Days,
    hours: &Hours,
    alerts: &[Alert],
    context: &ReportContext<'_>,
) -> Result<Option<Compliance>, StoreError> {
    let Some((terms, day)) = context.terms.and_then(|terms| Some((terms, day_in(days, &terms)?)))
    else {
        return Ok(None);
    };
    let own;
    let hours = if terms.calendar.zone == *context.zone {
        hours
    } else {
        // The day is one of the calendar, which may begin before the report's.
        let context = ReportContext { zone: &terms.calendar.zone, ..*context };
        own = Hours::read(reader, days, &context)?;
        &own
    };
    let (section, _) = judge(reader, &terms, day, (hours, alerts), context)?;
    Ok(Some(section))
}

/// Everybody on `day`, the last one of the week `days`.
pub fn who_list(
    reader: &StoreReader,
    terms: &Terms<'_>,
    (day, days): (Date, Days),
    context: &ReportContext<'_>,
) -> Result<WhoList, StoreError> {
    let zone = &terms.calendar.zone;
    let context = &ReportContext { zone, ..*context };
    let hours = Hours::read(reader, days, context)?;
    let alerts = alerts_of(reader, days, zone)?;
    let (section, rows) = judge(reader, terms, day, (&hours, &alerts), context)?;
    Ok(WhoList::new(section, rows.members, rows.strangers, zone.clone()))
}

/// The figures of `day`, and everybody.
fn judge(
    reader: &StoreReader,
    terms: &Terms<'_>,
    day: Date,
    (hours, alerts): (&Hours, &[Alert]),
    context: &ReportContext<'_>,
) -> Result<(Compliance, DayRows), StoreError> {
    let since = reader.meta(SINCE)?.and_then(|text| text.parse().ok()).map(Timestamp);
    // Lines older than the first start were read from files that had waited. Where nothing was ever
    // written down, nobody was watched.
    let since = since.into_iter().chain(reader.first_sighting()?).min().or(Some(context.now));
    let seen = |day: Date| -> Result<_, StoreError> { reader.sightings(day, terms.last_day(day)) };
    let today = DayRows::judge(terms, day, &seen(day)?);
    let mut before = Vec::new();
    for earlier in days_before(day, terms) {
        let sightings = seen(earlier)?;
        let is_watched = since.is_some_and(|since| since < terms.begin(earlier));
        // A day on which nobody at all was seen was not watched.
        if is_watched && !sightings.is_empty() {
            before.push(DayRows::judge(terms, earlier, &sightings));
        }
    }
    let known = if before.is_empty() { None } else { Some(reader.members_before(day)?) };
    let watched = Watched {
        this: &hours.this,
        before: hours.before.as_ref(),
        alerts,
        since,
        watched_since: hours.watched_since,
        now: context.now,
    };
    let doubts = Doubts::about(day, terms, &watched);
    let today = today.with_running(&before);
    let rows = today.clone();
    let now = context.now;
    let input = ComplianceInput { terms: *terms, today, before, known, doubts, now };
    Ok((Compliance::build(input), rows))
}
