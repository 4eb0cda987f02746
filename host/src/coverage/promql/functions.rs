//! What functions and aggregations keep of the labels.

use std::collections::BTreeSet;

use super::Value;
use crate::coverage::labels::{Series, What};
use crate::router::MatchOp;

/// The aggregations.
pub(super) const AGGREGATIONS: [&str; 14] = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "limitk",
    "limit_ratio",
    "quantile",
    "count_values",
];

/// The functions whose series have the labels of their argument, but the name of the metric.
const KEEP: [&str; 82] = [
    "abs",
    "absent_over_time",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "avg_over_time",
    "ceil",
    "changes",
    "clamp",
    "clamp_max",
    "clamp_min",
    "cos",
    "cosh",
    "count_over_time",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "delta",
    "deriv",
    "double_exponential_smoothing",
    "exp",
    "first_over_time",
    "floor",
    "histogram_avg",
    "histogram_count",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
    "holt_winters",
    "hour",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "ln",
    "log10",
    "log2",
    "mad_over_time",
    "max_over_time",
    "min_over_time",
    "minute",
    "month",
    "predict_linear",
    "present_over_time",
    "quantile_over_time",
    "rad",
    "rate",
    "resets",
    "round",
    "sgn",
    "sin",
    "sinh",
    "sort",
    "sort_by_label",
    "sort_by_label_desc",
    "sort_desc",
    "sqrt",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
    "tan",
    "tanh",
    "timestamp",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
    "year",
    "absent",
    "histogram_quantile",
    "histogram_fraction",
    "label_replace",
    "label_join",
    "scalar",
    "time",
    "pi",
    "vector",
];

/// Returns what is known of a function's result.
///
/// # Errors
/// If the function is not known.
pub(super) fn called(name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    if !KEEP.contains(&name) {
        return Err(format!(
            "the function {} is not known",
            name.chars().take(40).collect::<String>()
        ));
    }
    let text = |at: usize| match arguments.get(at) {
        Some(Value::Text(text)) => Ok(text.clone()),
        _ => Err(format!("{name} has no text there")),
    };
    Ok(match name {
        "scalar" | "time" | "pi" => Value::Scalar,
        "vector" => Value::vector(Series::without_labels("vector() has no labels")),
        "absent" | "absent_over_time" => Value::vector(absent(&arguments)),
        "label_replace" | "label_join" => {
            let label = text(1)?;
            let mut series = first(arguments);
            // Whether the label is set depends on the values.
            series.set(&label, What::Any);
            Value::vector(series)
        }
        "histogram_quantile" | "histogram_fraction" => Value::vector(
            first(arguments).without(&["le".to_owned()].into(), "the histogram's quantile"),
        ),
        _ => Value::vector(first(arguments)),
    })
}

/// Returns the series of the first argument that is a vector; without one, such as `hour()`, there is no label.
fn first(arguments: Vec<Value>) -> Series {
    let vectors = arguments.into_iter().filter_map(|argument| match argument {
        Value::Vector { series, .. } => Some(series),
        Value::Scalar | Value::Text(_) => None,
    });
    let none = || Series::without_labels("a function without series has no labels");
    vectors.into_iter().next().unwrap_or_else(none)
}

/// The series of `absent` has the labels that its selector compares with `=`, each once.
fn absent(arguments: &[Value]) -> Series {
    let mut series =
        Series::without_labels("absent() has only the labels that its selector compares with =");
    let Some(Value::Vector {
        selector: Some(tests),
        ..
    }) = arguments.first()
    else {
        return series;
    };
    for test in tests {
        let is_alone = tests.iter().filter(|other| other.name == test.name).count() == 1;
        if is_alone && test.op == MatchOp::Equal {
            series.set(&test.name, What::one(&test.value));
        }
    }
    series
}

/// Returns what is known of an aggregation's result; `clause` is whether it is `by`, and the labels.
///
/// # Errors
/// If it has no series.
pub(super) fn aggregated(
    name: &str,
    arguments: Vec<Value>,
    clause: Option<&(bool, BTreeSet<String>)>,
) -> Result<Value, String> {
    let label = match arguments.first() {
        Some(Value::Text(label)) if name == "count_values" => Some(label.clone()),
        _ => None,
    };
    let Some(Value::Vector { series, .. }) = arguments.into_iter().next_back() else {
        return Err(format!("{name} has no series"));
    };
    // These choose series, and change none.
    if ["topk", "bottomk", "limitk", "limit_ratio"].contains(&name) {
        return Ok(Value::vector(series));
    }
    let mut series = match clause {
        Some((true, labels)) => series.only(labels, &format!("{name} by")),
        Some((false, labels)) => series.without(labels, &format!("{name} without")),
        None => Series::without_labels(&format!("{name}() without `by` has no labels")),
    };
    if let Some(label) = label {
        series.set(&label, What::Any);
    }
    Ok(Value::vector(series))
}
