//! Correlations: how often the events of other rules must come together.
//!
//! Windows slide, as the specification asks for.

use rsigma_parser::{
    ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, WindowMode,
};

use super::{SigmaRule, State, fields, severity, techniques};
use crate::engine::detect::field::Subject;
use crate::engine::detect::predicate::Predicate;
use crate::engine::detect::rule::{MAX_LIMIT, Rule};
use crate::engine::detect::steps::{STEPS_MAX, Steps};
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
    let conditions: Vec<Predicate> =
        named.iter().map(|place| rules[*place].condition.clone()).collect();
    let any = Predicate::Any(conditions.clone()).simplified();
    let title = &correlation.title;
    let mut rule = Rule::of_single_events(id, title, any, severity(correlation.level), true);
    rule.group_by = group_by(correlation)?;
    rule.attack = techniques(&correlation.tags);
    rule.limits[0].window = Period::from_secs(correlation.timespan.seconds);
    limit(&mut rule, correlation, conditions)?;
    if !correlation.generate {
        named.iter().for_each(|place| rules[*place].is_silent = true);
    }
    Ok(rule)
}

/// Sets what must come together for `rule`.
fn limit(
    rule: &mut Rule,
    correlation: &CorrelationRule,
    conditions: Vec<Predicate>,
) -> Result<(), Refusal> {
    let kind = correlation.correlation_type;
    let words = match kind {
        CorrelationType::EventCount => {
            rule.limits[0].events = kept(threshold(&correlation.condition)?.0)?;
            "{count} events within {window}"
        }
        CorrelationType::ValueCount => {
            let (least, field) = of_field(correlation)?;
            rule.limits[0].values = vec![kept(least)?];
            rule.distinct = vec![field];
            "{distinct} different values within {window}"
        }
        CorrelationType::ValueSum => {
            let (least, field) = of_field(correlation)?;
            rule.sum = Some((field, least.max(1)));
            "a sum over {count} events within {window}"
        }
        CorrelationType::Temporal | CorrelationType::TemporalOrdered => {
            let all = conditions.len();
            if !(2..=STEPS_MAX).contains(&all) {
                let reason = format!("it names {all} rules; from 2 to {STEPS_MAX} can be awaited");
                return Err(unsupported("rules:", reason));
            }
            // The parser says 1 where there is no condition, which means all of them.
            let least = threshold(&correlation.condition)?.0;
            if least != 1 && least != all as u64 {
                return Err(unsupported("condition:", "unsupported: some of the rules only"));
            }
            let in_order = kind == CorrelationType::TemporalOrdered;
            rule.steps = Some(Steps { conditions, in_order });
            if in_order {
                "one after the other within {window}"
            } else {
                "together within {window}"
            }
        }
        kind => {
            let reason = format!("unsupported: correlations of type `{}`", kind.as_str());
            return Err(unsupported("type:", reason));
        }
    };
    words.clone_into(&mut rule.explain);
    Ok(())
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
fn threshold(condition: &CorrelationCondition) -> Result<(u64, Option<String>), Refusal> {
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
    match field.as_deref() {
        None => Ok((least, None)),
        Some([field]) => Ok((least, Some(field.clone()))),
        Some(_) => Err(unsupported("field:", "unsupported: several fields counted together")),
    }
}

/// As many as a key can remember.
fn kept(least: u64) -> Result<usize, Refusal> {
    let least = usize::try_from(least).ok().filter(|least| (1..=MAX_LIMIT).contains(least));
    least.ok_or_else(|| {
        unsupported("condition:", format!("the number lies between 1 and {MAX_LIMIT}"))
    })
}

/// How much of which field.
fn of_field(correlation: &CorrelationRule) -> Result<(u64, Subject), Refusal> {
    let (least, Some(field)) = threshold(&correlation.condition)? else {
        let kind = correlation.correlation_type.as_str();
        return Err(unsupported("condition:", format!("`{kind}` needs one `field`")));
    };
    Ok((least, subject(&field, "field:")?))
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
