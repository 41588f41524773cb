//! Metrics in Prometheus' text form, version 0.0.4.
//!
//! Pure: names, numbers and how they are written. What is counted is decided by those who count.
//!
//! Names are `s7supervisor_…` with their base unit; counters end in `_total`. A [`Family`] writes
//! its `HELP` and `TYPE` once and then its samples, so that all samples of a name stand together,
//! as the form demands.

use std::fmt::Write as _;

/// What an answer with these texts is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text of one answer.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// One name with its samples.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

/// Counts of values by their size. Never falls.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Histogram {
    /// Those up to each bound, without those up to the bound before.
    counts: [u64; Self::BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Exposition {
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a name. Each is to be begun once.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        let _infallible = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text: &mut self.text, name }
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    #[expect(clippy::cast_precision_loss, reason = "all that Prometheus knows is floats")]
    pub fn count(&mut self, labels: &[(&str, &str)], value: u64) {
        self.value(labels, value as f64);
    }

    pub fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample("", labels, None, value);
    }

    #[expect(clippy::cast_precision_loss, reason = "all that Prometheus knows is floats")]
    pub fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut below = 0;
        for (bound, count) in Histogram::BOUNDS.into_iter().zip(histogram.counts) {
            below += count;
            self.sample("_bucket", labels, Some(&bound.to_string()), below as f64);
        }
        self.sample("_bucket", labels, Some("+Inf"), histogram.count as f64);
        self.sample("_sum", labels, None, histogram.sum);
        self.sample("_count", labels, None, histogram.count as f64);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: f64) {
        let _infallible = write!(self.text, "{}{suffix}", self.name);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut opening = '{';
        for (name, value) in labels {
            let value = escaped(value);
            let _infallible = write!(self.text, "{opening}{name}=\"{value}\"");
            opening = ',';
        }
        if opening == ',' {
            self.text.push('}');
        }
        let _infallible = writeln!(self.text, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

impl Histogram {
    /// In seconds.
    pub const BOUNDS: [f64; 7] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0];

    pub fn observe(&mut self, seconds: f64) {
        if let Some(at) = Self::BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.counts[at] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let mut exposition = Exposition::new();
        let mut starts =
            exposition.family("s7_starts_total", Kind::Counter, "Starts.\nAll \\ of them.");
        starts.count(&[("component", "is")], 3);
        starts.count(&[("component", "a\"b\\c\nd"), ("x", "")], 0);
        exposition.family("s7_up", Kind::Gauge, "Up.").value(&[], 0.5);
        let expected = r#"# HELP s7_starts_total Starts.\nAll \\ of them.
# TYPE s7_starts_total counter
s7_starts_total{component="is"} 3
s7_starts_total{component="a\"b\\c\nd",x=""} 0
# HELP s7_up Up.
# TYPE s7_up gauge
s7_up 0.5
"#;
        assert_eq!(exposition.into_text(), expected);
    }

    #[test]
    fn the_buckets_of_a_histogram_add_up() {
        let mut histogram = Histogram::default();
        for seconds in [0.0005, 0.001, 0.3, 99.0] {
            histogram.observe(seconds);
        }
        let mut exposition = Exposition::new();
        exposition.family("t_seconds", Kind::Histogram, "T.").histogram(&[("a", "b")], &histogram);
        let text = exposition.into_text();
        let buckets: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("t_seconds_bucket")).collect();
        let expected = [
            r#"{a="b",le="0.001"} 2"#,
            r#"{a="b",le="0.005"} 2"#,
            r#"{a="b",le="0.025"} 2"#,
            r#"{a="b",le="0.1"} 2"#,
            r#"{a="b",le="0.5"} 3"#,
            r#"{a="b",le="2.5"} 3"#,
            r#"{a="b",le="10"} 3"#,
            r#"{a="b",le="+Inf"} 4"#,
        ];
        assert_eq!(buckets, expected);
        assert!(text.contains("t_seconds_count{a=\"b\"} 4\n"), "{text}");
        assert!(text.contains("t_seconds_sum{a=\"b\"} 99.3015\n"), "{text}");
    }
}
