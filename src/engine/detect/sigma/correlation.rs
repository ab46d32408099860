//! Correlations: how often the events of other rules must come together.
//!
//! Windows slide, as the specification asks for.

use rsigma_parser::{
    ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, WindowMode,
};

use super::{SigmaRule, State, fields, severity, techniques};
use crate::engine::detect::field::Subject;
use crate::engine::detect::predicate::{Gate, Predicate};
use crate::engine::detect::rule::{Limit, MAX_LIMIT, Rule, Then};
use crate::units::Period;

/// Why there is no rule, and the key that says so.
type Refusal = (&'static str, State);

fn unsupported(near: &'static str, reason: impl Into<String>) -> Refusal {
    (near, State::Rejected(reason.into()))
}

/// Compiles a correlation of `rules`; those that it alone shall speak for fall silent.
pub(super) fn compile(
    id: &str,
    correlation: &CorrelationRule,
    rules: &mut [SigmaRule],
) -> Result<Rule, Refusal> {
    if correlation.window != WindowMode::Sliding {
        return Err(unsupported("window:", "unsupported: windows here slide; leave `window` out"));
    }
    let named = named(correlation, rules)?;
    let conditions = || named.iter().map(|place| rules[*place].condition.clone());
    let mut limit = Limit {
        window: Period::from_secs(correlation.timespan.seconds),
        events: 1,
        values: Vec::new(),
    };
    let any = Predicate::Any(conditions().collect()).simplified();
    let mut made = (any, Vec::new(), None, "{count} events within {window}");
    match correlation.correlation_type {
        CorrelationType::EventCount => limit.events = threshold(&correlation.condition)?.0,
        CorrelationType::ValueCount => {
            let (least, Some(field)) = threshold(&correlation.condition)? else {
                return Err(unsupported("condition:", "`value_count` needs one `field` to count"));
            };
            limit.values = vec![least];
            made.1 = vec![subject(&field, "field:")?];
            made.3 = "{distinct} different values within {window}";
        }
        CorrelationType::TemporalOrdered => {
            let [first, second]: [Predicate; 2] =
                conditions().collect::<Vec<_>>().try_into().map_err(|_| {
                    unsupported("rules:", "unsupported: an order of other than two rules")
                })?;
            let gate = Gate::of(&second);
            let then = Then { condition: second, gate, unless_known: None };
            made = (first, Vec::new(), Some(then), "one after the other within {window}");
        }
        kind => {
            let reason = format!("unsupported: correlations of type `{}`", kind.as_str());
            return Err(unsupported("type:", reason));
        }
    }
    let (condition, distinct, then, explain) = made;
    let title = &correlation.title;
    let mut rule = Rule::of_single_events(id, title, condition, severity(correlation.level), true);
    rule.group_by = group_by(correlation)?;
    rule.attack = techniques(&correlation.tags);
    (rule.distinct, rule.then, rule.limits) = (distinct, then, vec![limit]);
    explain.clone_into(&mut rule.explain);
    if !correlation.generate {
        named.iter().for_each(|place| rules[*place].is_silent = true);
    }
    Ok(rule)
}

/// The rules it is about, by their places.
fn named(correlation: &CorrelationRule, rules: &[SigmaRule]) -> Result<Vec<usize>, Refusal> {
    if correlation.rules.is_empty() {
        return Err(unsupported("rules:", "it names no rules"));
    }
    let place = |name: &String| {
        rules.iter().position(|rule| rule.is_called(name)).ok_or_else(|| {
            let reason = format!("`{name}` is no rule that is loaded, or a correlation itself");
            ("rules:", State::Unevaluable(reason))
        })
    };
    correlation.rules.iter().map(place).collect()
}

/// How many, and of what.
fn threshold(condition: &CorrelationCondition) -> Result<(usize, Option<String>), Refusal> {
    let CorrelationCondition::Threshold { predicates, field, .. } = condition else {
        return Err(unsupported("condition:", "unsupported: a condition in words"));
    };
    let least = match predicates.as_slice() {
        [(ConditionOperator::Gte, number)] => *number,
        [(ConditionOperator::Gt, number)] => number.saturating_add(1),
        _ => {
            let reason = "unsupported: only `gte` or `gt` alone; a rule fires from so many on";
            return Err(unsupported("condition:", reason));
        }
    };
    let least = usize::try_from(least).ok().filter(|least| (1..=MAX_LIMIT).contains(least));
    let least = least.ok_or_else(|| {
        unsupported("condition:", format!("the number lies between 1 and {MAX_LIMIT}"))
    })?;
    match field.as_deref() {
        None => Ok((least, None)),
        Some([field]) => Ok((least, Some(field.clone()))),
        Some(_) => Err(unsupported("field:", "unsupported: several fields counted together")),
    }
}

fn subject(name: &str, near: &'static str) -> Result<Subject, Refusal> {
    fields::subject(name).map_err(|_| {
        (near, State::Unevaluable(format!("no log that is read here has the field `{name}`")))
    })
}

fn group_by(correlation: &CorrelationRule) -> Result<Vec<(String, Subject)>, Refusal> {
    let of = |name: &String| {
        let Some(alias) = correlation.aliases.iter().find(|alias| alias.alias == *name) else {
            return Ok((name.clone(), subject(name, "group-by:")?));
        };
        let meant = alias.mapping.values().map(|field| subject(field, "aliases:"));
        let meant = meant.collect::<Result<Vec<_>, _>>()?;
        match meant.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other == first) => {
                Ok((name.clone(), *first))
            }
            _ => {
                let reason = format!("unsupported: `{name}` is another field in each rule");
                Err(unsupported("aliases:", reason))
            }
        }
    };
    correlation.group_by.iter().map(of).collect()
}
