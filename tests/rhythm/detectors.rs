//! The weekly rhythm, and what others do, each written anew and looking backwards only.

use gatewatch::engine::rhythm::{Budget, Hour, Series, Stage};

use crate::score::median;
use crate::site::{DAY, WEEK};

/// How others watch a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Detector {
    /// Above the maximum or below the minimum of the four weeks of training.
    Static,
    /// Away from the exponentially weighted mean of a day, in standard deviations.
    Ewma,
    /// Away from what Holt and Winters forecast for the hour of the week, in mean deviations.
    HoltWinters,
    /// Away from the median of the hour of the week, in median absolute deviations of the hour.
    HourMedian,
    /// The same, in deviations of all hours of four weeks.
    SeasonalMedian,
    /// More than two and a half times the mean of the hour, and 1,250 events more.
    HourlyMean,
}

/// The detectors of others, with the limit that each is used with.
pub(crate) const OTHERS: [(Detector, f64, &str); 6] = [
    (Detector::Static, 1.0, "static: max and min of 4 weeks"),
    (Detector::Ewma, 3.0, "EWMA over 24 h, 3 sigma"),
    (Detector::HoltWinters, 3.0, "Holt-Winters weekly, band 3"),
    (Detector::HourMedian, 3.0, "median of the hour of the week, 3 MAD"),
    (Detector::SeasonalMedian, 4.0, "seasonal median, 4 MAD (S-H-ESD style)"),
    (Detector::HourlyMean, 1.0, "hourly mean + 150 %, 1,250 more (OSSEC style)"),
];

/// The hours that the rhythm would alarm at. `holidays` are days, counted from the beginning.
pub(crate) fn alarms_of_rhythm(counts: &[u64], budget: f64, holidays: &[usize]) -> Vec<usize> {
    let (mut series, budget) = (Series::default(), Budget::per_week(budget));
    let judged = counts.iter().enumerate().filter_map(|(at, count)| {
        let is_holiday = holidays.contains(&(at / DAY));
        let hour = Hour { number: 400_000 + at as u32, slot: at % WEEK, is_holiday };
        let verdict = series.observe(hour, *count, budget)?;
        (verdict.stage == Stage::Ready && verdict.alarm().is_some()).then_some(at)
    });
    judged.collect()
}

/// How odd each hour is for a detector of others.
pub(crate) fn oddness(detector: Detector, counts: &[u64], train: usize) -> Vec<f64> {
    let counts: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
    match detector {
        Detector::Static => of_static(&counts, train),
        Detector::Ewma => of_ewma(&counts),
        Detector::HoltWinters => of_holt_winters(&counts),
        Detector::HourMedian => of_medians(&counts, true),
        Detector::SeasonalMedian => of_medians(&counts, false),
        Detector::HourlyMean => of_hourly_mean(&counts),
    }
}

/// The hours that are at least as odd as `limit`.
pub(crate) fn above(oddness: &[f64], limit: f64) -> Vec<usize> {
    (0..oddness.len()).filter(|at| limit < oddness[*at]).collect()
}

/// 1 at the maximum and at the minimum; above it by the share of the range.
fn of_static(counts: &[f64], train: usize) -> Vec<f64> {
    let learnt = &counts[..train];
    let max = learnt.iter().copied().fold(0.0, f64::max);
    let min = learnt.iter().copied().fold(f64::INFINITY, f64::min);
    let middle = (max + min) / 2.0;
    let half = ((max - min) / 2.0).max(0.5);
    counts.iter().map(|count| (count - middle).abs() / half).collect()
}

fn of_ewma(counts: &[f64]) -> Vec<f64> {
    const RATE: f64 = 2.0 / 25.0;
    let (mut mean, mut variance) = (counts[0], counts[0].max(1.0));
    let judge = |count: &f64| {
        let off = count - mean;
        let oddness = off.abs() / f64::max(variance, 0.25).sqrt();
        variance = (1.0 - RATE) * (variance + RATE * off * off);
        mean += RATE * off;
        oddness
    };
    counts.iter().map(judge).collect()
}

fn of_holt_winters(counts: &[f64]) -> Vec<f64> {
    const LEVEL: f64 = 0.1;
    const TREND: f64 = 0.0035;
    const SEASON: f64 = 0.3;
    let first = &counts[..WEEK];
    let mut level = first.iter().sum::<f64>() / WEEK as f64;
    let mut trend = 0.0;
    let mut season: Vec<f64> = first.iter().map(|count| count - level).collect();
    let mut deviation: Vec<f64> = first.iter().map(|count| count.sqrt().max(1.0)).collect();
    let judge = |(at, count): (usize, &f64)| {
        if at < WEEK {
            return 0.0;
        }
        let slot = at % WEEK;
        let off = count - (level + trend + season[slot]);
        let oddness = off.abs() / deviation[slot].max(0.5);
        let before = level;
        level = LEVEL * (count - season[slot]) + (1.0 - LEVEL) * (level + trend);
        trend = TREND * (level - before) + (1.0 - TREND) * trend;
        season[slot] = SEASON * (count - level) + (1.0 - SEASON) * season[slot];
        deviation[slot] = SEASON * off.abs() + (1.0 - SEASON) * deviation[slot];
        oddness
    };
    counts.iter().enumerate().map(judge).collect()
}

/// The usual factor between a median absolute deviation and a standard deviation.
const TO_DEVIATION: f64 = 1.4826;

fn of_medians(counts: &[f64], by_hour: bool) -> Vec<f64> {
    let mut residuals: Vec<f64> = Vec::new();
    let mut spread = 1.0;
    let judge = |at: usize| {
        let mut same: Vec<f64> =
            counts[..at].iter().copied().skip(at % WEEK).step_by(WEEK).collect();
        let middle = median(&mut same);
        let off = counts[at] - middle;
        residuals.push(off);
        if by_hour {
            let mut around: Vec<f64> = same.iter().map(|count| (count - middle).abs()).collect();
            spread = median(&mut around);
        } else if at.is_multiple_of(DAY) {
            let from = at.saturating_sub(4 * WEEK).max(WEEK);
            let mut around: Vec<f64> =
                residuals.get(from..at).unwrap_or_default().iter().map(|off| off.abs()).collect();
            spread = median(&mut around);
        }
        if at < WEEK { 0.0 } else { off.abs() / (TO_DEVIATION * spread).max(1.0) }
    };
    (0..counts.len()).map(judge).collect()
}

fn of_hourly_mean(counts: &[f64]) -> Vec<f64> {
    let judge = |at: usize| {
        let (sum, weeks) = counts[..at]
            .iter()
            .skip(at % WEEK)
            .step_by(WEEK)
            .fold((0.0, 0.0), |(sum, weeks), count| (sum + count, weeks + 1.0));
        if weeks == 0.0 {
            return 0.0;
        }
        let mean: f64 = sum / weeks;
        counts[at] / (2.5 * mean).max(mean + 1250.0)
    };
    (0..counts.len()).map(judge).collect()
}
