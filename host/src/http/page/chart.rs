//! Small charts as SVG. Heights are attributes, since the policy forbids styles in a page, and a table says the same as text.

use std::fmt::Write as _;
use std::time::Duration;

use askama::Template;

use super::filters::{self, span};
use crate::alert::Timestamp;
use crate::api::{Amounts, Bucket, Series};
use crate::queue::{Reason, State};

/// How high a chart is, in units of its own.
const HEIGHT: u64 = 60;

/// How wide one bucket is; a bar leaves a gap.
const WIDTH: u64 = 10;
const BAR: u64 = 9;

/// A chart of what was counted in each bucket of a time.
#[derive(Template)]
#[template(path = "chart.html")]
pub(super) struct Chart {
    /// What is shown; also the element's identifier, with `-`.
    title: &'static str,
    id: &'static str,
    /// What each colour is: its class and its name.
    parts: Vec<(&'static str, &'static str)>,
    /// The largest amount, as text.
    top: String,
    from: Timestamp,
    /// How wide the chart is.
    width: u64,
    columns: Vec<Column>,
}

/// What is shown of one bucket.
struct Column {
    from: Timestamp,
    x: u64,
    /// Of each part: its class, the upper edge and the height of its bar.
    bars: Vec<(&'static str, u64, u64)>,
    /// Of each part, as text.
    cells: Vec<String>,
}

/// A part of a chart: its class, its name, and how much of it is in a bucket.
type Part = (&'static str, &'static str, fn(&Amounts) -> u64);

/// Returns the charts of what a server receives and does.
pub(super) fn of_server(series: &Series) -> Vec<Chart> {
    let received: [Part; 3] = [
        ("some", "accepted", |amounts| {
            amounts.received_as("accepted")
        }),
        ("quiet", "duplicate or stale", |amounts| {
            amounts.received_as("duplicate") + amounts.received_as("stale")
        }),
        ("bad", "not valid", |amounts| {
            amounts.received_as("rejected")
        }),
    ];
    vec![
        stacked("Alerts received", "received", series, &received),
        ended(series),
        times(series),
    ]
}

/// Returns the charts of what a handler does.
pub(super) fn of_handler(series: &Series) -> Vec<Chart> {
    vec![ended(series), times(series)]
}

fn ended(series: &Series) -> Chart {
    let parts: [Part; 3] = [
        ("good", "handled", |amounts| amounts.ended_as("handled")),
        ("quiet", "done without a run", |amounts| {
            ended_with(amounts, |reason| {
                reason.state() == State::Done && reason != Reason::Handled
            })
        }),
        ("bad", "dead", dead),
    ];
    stacked("Deliveries by result", "ended", series, &parts)
}

/// Returns how many deliveries have died.
pub(super) fn dead(amounts: &Amounts) -> u64 {
    ended_with(amounts, |reason| reason.state() == State::Dead)
}

fn ended_with(amounts: &Amounts, is_meant: impl Fn(Reason) -> bool) -> u64 {
    let of = amounts.settled.iter().filter(|(reason, _)| {
        let known = reason.parse::<Reason>();
        known.is_ok_and(&is_meant)
    });
    of.map(|(_, count)| count).sum()
}

/// Returns a chart whose parts stand on each other.
fn stacked(title: &'static str, id: &'static str, series: &Series, parts: &[Part]) -> Chart {
    let sum = |bucket: &Bucket| -> u64 { parts.iter().map(|(_, _, of)| of(&bucket.amounts)).sum() };
    let top = series.buckets.iter().map(sum).max().unwrap_or(0);
    let column = |bucket: &Bucket, x| {
        let mut below = 0;
        let bars = parts.iter().map(|(class, _, of)| {
            let lower = height(below, top);
            below += of(&bucket.amounts);
            let upper = height(below, top);
            (*class, HEIGHT - upper, upper - lower)
        });
        Column {
            from: bucket.from,
            x,
            bars: bars.collect(),
            cells: parts
                .iter()
                .map(|(_, _, of)| of(&bucket.amounts).to_string())
                .collect(),
        }
    };
    let names = parts.iter().map(|(class, name, _)| (*class, *name));
    chart(
        (title, id),
        series,
        names.collect(),
        top.to_string(),
        column,
    )
}

/// Returns a chart of times, each on the scale of its logarithm, since they are milliseconds as well as hours.
fn times(series: &Series) -> Chart {
    let parts = vec![("warn", "p99"), ("some", "p50")];
    let top = series
        .buckets
        .iter()
        .filter_map(|bucket| bucket.amounts.p99_ms);
    let top = top.max().unwrap_or(0);
    let column = |bucket: &Bucket, x| {
        let Amounts { p50_ms, p99_ms, .. } = bucket.amounts;
        let bar = |class, ms: Option<u64>| {
            let height = ms.map_or(0, |ms| log_height(ms, top));
            (class, HEIGHT - height, height)
        };
        let text =
            |ms: Option<u64>| ms.map_or_else(String::new, |ms| span(Duration::from_millis(ms)));
        Column {
            from: bucket.from,
            x,
            bars: vec![bar("warn", p99_ms), bar("some", p50_ms)],
            cells: vec![text(p99_ms), text(p50_ms)],
        }
    };
    let title = "Time from acceptance to the end (logarithmic)";
    let top_text = span(Duration::from_millis(top));
    chart((title, "times"), series, parts, top_text, column)
}

fn chart(
    (title, id): (&'static str, &'static str),
    series: &Series,
    parts: Vec<(&'static str, &'static str)>,
    top: String,
    column: impl Fn(&Bucket, u64) -> Column,
) -> Chart {
    let columns = series.buckets.iter().zip(0..);
    let columns: Vec<_> = columns
        .map(|(bucket, n)| column(bucket, n * WIDTH))
        .collect();
    Chart {
        title,
        id,
        parts,
        top,
        from: columns.first().map_or(Timestamp::MIN, |column| column.from),
        width: columns.len() as u64 * WIDTH,
        columns,
    }
}

/// Returns how high an amount is if `top` is as high as the chart. An amount above zero is at least one unit high.
fn height(amount: u64, top: u64) -> u64 {
    if amount == 0 || top == 0 {
        return 0;
    }
    let exact = u128::from(amount) * u128::from(HEIGHT) / u128::from(top);
    u64::try_from(exact).unwrap_or(HEIGHT).clamp(1, HEIGHT)
}

/// Returns how high a time is on the scale of its logarithm.
fn log_height(ms: u64, top: u64) -> u64 {
    let bits = |ms: u64| u64::from(u64::BITS - ms.leading_zeros());
    // One more, so that a time of 0 ms is visible.
    height(bits(ms) + 1, bits(top) + 1)
}

impl Chart {
    /// Returns whether nothing was counted.
    fn is_empty(&self) -> bool {
        let mut columns = self.columns.iter();
        columns.all(|column| column.bars.iter().all(|(_, _, height)| *height == 0))
    }

    /// Returns the columns in which something was counted, the newest first, for the table.
    fn rows(&self) -> Vec<&Column> {
        let is_seen = |column: &&Column| column.bars.iter().any(|(_, _, height)| *height > 0);
        self.columns.iter().filter(is_seen).rev().collect()
    }

    /// Returns what the chart shows, in words.
    fn summary(&self) -> String {
        let mut text = format!("{}, at most {}.", self.title, self.top);
        if self.is_empty() {
            text = format!("{}: nothing.", self.title);
        }
        let _ = write!(text, " The table below has the numbers.");
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn series(buckets: &[(u64, u64, Option<u64>)]) -> Series {
        let bucket = |(handled, failed, ms): &(u64, u64, Option<u64>)| Bucket {
            from: Timestamp::UNIX_EPOCH,
            amounts: Amounts {
                settled: [("handled", *handled), ("failed", *failed)]
                    .map(|(reason, count)| (reason.to_owned(), count))
                    .into(),
                p50_ms: *ms,
                p99_ms: *ms,
                ..Amounts::default()
            },
        };
        Series {
            buckets: buckets.iter().map(bucket).collect(),
            ..Series::default()
        }
    }

    #[test]
    fn parts_stand_on_each_other_up_to_the_top() {
        let chart = ended(&series(&[(0, 0, None), (30, 10, None), (80, 0, None)]));
        let bars = |n: usize| chart.columns[n].bars.clone();
        assert_eq!(bars(0), [("good", 60, 0), ("quiet", 60, 0), ("bad", 60, 0)]);
        assert_eq!(
            bars(1),
            [("good", 38, 22), ("quiet", 38, 0), ("bad", 30, 8)]
        );
        assert_eq!(bars(2)[0], ("good", 0, 60));
        assert_eq!(chart.top, "80");
        assert_eq!(chart.rows().len(), 2);
        let html = chart.render().unwrap();
        assert!(!html.contains("style="), "{html}");
    }

    #[test]
    fn times_of_milliseconds_can_be_seen_beside_hours() {
        let chart = times(&series(&[(1, 0, Some(2)), (1, 0, Some(7_200_000))]));
        assert_eq!(chart.top, "2 h");
        assert_eq!(chart.columns[1].bars[0].1, 0);
        assert!(chart.columns[0].bars[0].2 >= 5);
        assert_eq!(chart.columns[0].cells[0], "2 ms");
    }

    #[test]
    fn an_empty_chart_says_so() {
        let chart = ended(&series(&[(0, 0, None)]));
        assert!(chart.is_empty() && chart.rows().is_empty());
        assert!(chart.summary().contains("nothing"));
        assert_eq!((height(1, 1_000_000), height(0, 5)), (1, 0));
    }
}
