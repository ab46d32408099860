//! What the start has to say about the configuration.

use crate::config::Config;
use crate::engine::detect::sigma::State;
use crate::escape::visible;

/// Rules of folders that are not in force: somebody else wrote them, so they stop nothing.
pub(super) fn tell_rules(config: &Config) {
    let odd = config.rule_report.iter().filter(|entry| entry.state != State::Loaded);
    for entry in odd.clone().take(RULES_TOLD_MAX) {
        let (file, line) = (visible(&entry.file), entry.line);
        let reason = visible(entry.state.reason().unwrap_or_default());
        tracing::warn!("{file}:{line}: rule {}: {reason}", entry.state.name());
    }
    if let Some(rest) = odd.count().checked_sub(RULES_TOLD_MAX).filter(|rest| 0 < *rest) {
        tracing::warn!("{rest} more rules are not in force; `gatewatch check` names them");
    }
}

/// Rules that are told one by one.
const RULES_TOLD_MAX: usize = 20;
