//! The metrics of a daemon, as a scraper sees them.

use super::http::{Pages, try_get};

/// A scrape.
#[derive(Debug)]
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// The metrics now.
    #[track_caller]
    pub(crate) fn of(pages: &Pages) -> Self {
        let (status, body) = try_get(pages.address(), "/metrics").expect("the metrics answer");
        assert_eq!(200, status);
        Self(body)
    }

    /// The sum over all series of `name` that have each of `labels`, such as `status="200"`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let (set, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let fits = labels.iter().all(|label| set.split(',').any(|pair| pair == *label));
            fits.then(|| value.parse::<f64>().expect("a number"))
        };
        self.0.lines().filter_map(value).sum::<f64>() as u64
    }
}
