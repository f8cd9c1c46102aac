//! A strict reader of the `OpenMetrics` text format: what it takes, any scraper takes.
//!
//! The rules are those of <https://prometheus.io/docs/specs/om/open_metrics_spec/>: metadata before samples, families in
//! one piece and once, names and suffixes as their type has them, no series twice, histograms that add up, `# EOF` last.

use std::collections::{BTreeMap, HashSet};

/// What was scraped.
#[derive(Debug)]
pub(crate) struct Exposition {
    /// By the name of the sample with its labels, sorted: `a_total{b="c"}`.
    samples: BTreeMap<String, f64>,
    text: String,
}

/// A family while it is read.
#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: Option<String>,
    has_help: bool,
}

impl Exposition {
    /// Reads it.
    ///
    /// # Panics
    /// When a rule is broken.
    pub(crate) fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no EOF at the end of\n{text}"));
        let (mut samples, mut names, mut family) = (BTreeMap::new(), HashSet::new(), Family::default());
        for line in body.lines() {
            if let Some(metadata) = line.strip_prefix("# ") {
                let (what, rest) = metadata.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
                let (name, value) = rest.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
                assert!(is_name(name), "{line:?}");
                if name != family.name {
                    assert!(names.insert(name.to_owned()), "the family is there twice: {line:?}");
                    family = Family { name: name.to_owned(), ..Family::default() };
                }
                match what {
                    "TYPE" => {
                        assert!(["counter", "gauge", "histogram", "info"].contains(&value), "{line:?}");
                        assert_eq!(family.kind.replace(value.to_owned()), None, "{line:?}");
                    }
                    "HELP" => {
                        assert!(!value.is_empty() && !std::mem::replace(&mut family.has_help, true), "{line:?}");
                    }
                    "UNIT" => assert!(family.name.ends_with(&format!("_{value}")), "{line:?}"),
                    _ => panic!("{line:?}"),
                }
                continue;
            }
            let (name, labels, value) = sample(line);
            let kind = family.kind.as_deref().unwrap_or_else(|| panic!("no type before {line:?}"));
            assert!(family.has_help, "no help before {line:?}");
            let suffix = name.strip_prefix(&family.name).unwrap_or_else(|| panic!("{line:?} in {family:?}"));
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                _ => &["_bucket", "_sum", "_count"],
            };
            assert!(suffixes.contains(&suffix), "{line:?} in {family:?}");
            assert_eq!(suffix == "_bucket", labels.iter().any(|(name, _)| name == "le"), "{line:?}");
            assert!(kind == "gauge" || value >= 0.0, "{line:?}");
            assert!(samples.insert(key(&name, &labels), value).is_none(), "the series is there twice: {line:?}");
        }
        let exposition = Self { samples, text: text.to_owned() };
        exposition.check_histograms();
        exposition
    }

    /// A sample, by its name and labels as they are written, in any order.
    pub(crate) fn get(&self, wanted: &str) -> Option<f64> {
        let (name, labels, _) = sample(&format!("{wanted} 0"));
        self.samples.get(&key(&name, &labels)).copied()
    }

    /// The same, or zero: a series that was never counted is not there.
    pub(crate) fn count(&self, wanted: &str) -> f64 {
        self.get(wanted).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The values of all labels, but those of buckets.
    pub(crate) fn label_values(&self) -> HashSet<String> {
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        let labels = lines.flat_map(|line| sample(line).1).filter(|(name, _)| name != "le");
        labels.map(|(_, value)| value).collect()
    }

    fn check_histograms(&self) {
        let mut last: Option<(String, f64, f64)> = None;
        let mut infinite = BTreeMap::new();
        for line in self.text.lines().filter(|line| line.contains("_bucket{")) {
            let (name, mut labels, count) = sample(line);
            let at = labels.iter().position(|(name, _)| name == "le").expect("a bound");
            let bound = labels.remove(at).1;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound") };
            let series = key(name.trim_end_matches("_bucket"), &labels);
            if let Some((of, before, fewer)) = &last
                && *of == series
            {
                assert!(bound > *before && count >= *fewer, "buckets out of order: {line}");
            }
            if bound.is_infinite() {
                infinite.insert(key(&name.replace("_bucket", "_count"), &labels), count);
            }
            last = Some((series, bound, count));
        }
        for (series, count) in infinite {
            let counted = self.samples.get(&series).unwrap_or_else(|| panic!("no {series}"));
            assert!((counted - count).abs() < 0.5, "{series} is not its last bucket");
        }
    }
}

fn key(name: &str, labels: &[(String, String)]) -> String {
    let mut labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// `name{label="value",…} number`
fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let bad = || -> ! { panic!("no sample: {line:?}") };
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| bad());
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| bad())),
        None => (series, ""),
    };
    assert!(is_name(name), "{line:?}");
    let mut parsed: Vec<(String, String)> = Vec::new();
    // None of our values has a comma, a quote or a backslash.
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (name, value) = label.split_once('=').unwrap_or_else(|| bad());
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or_else(|| bad());
        assert!(is_name(name) && !value.contains(['"', '\\']), "{line:?}");
        assert!(parsed.iter().all(|(other, _)| other != name), "a label is there twice: {line:?}");
        parsed.push((name.to_owned(), value.to_owned()));
    }
    (name.to_owned(), parsed, value.parse().unwrap_or_else(|_| bad()))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[test]
fn the_reader_is_strict() {
    let good = "# HELP a Help.\n# TYPE a counter\na_total{b=\"c\"} 1\n# EOF\n";
    assert!(Exposition::parse(good).get("a_total{b=\"c\"}").is_some_and(|value| value > 0.5));
    for bad in [
        "# HELP a Help.\n# TYPE a counter\na_total 1\n",
        "# TYPE a counter\na_total 1\n# EOF\n",
        "# HELP a Help.\n# TYPE a counter\na 1\n# EOF\n",
        "# HELP a Help.\n# TYPE a counter\na_total 1\na_total 2\n# EOF\n",
        "# HELP a Help.\n# TYPE a counter\na_total -1\n# EOF\n",
        "# HELP a Help.\n# TYPE a gauge\na{b=c} 1\n# EOF\n",
        "# HELP a H.\n# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n# EOF\n",
        "# HELP a H.\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 2\na_sum 1\n# EOF\n",
    ] {
        std::panic::catch_unwind(|| Exposition::parse(bad)).expect_err(bad);
    }
}
