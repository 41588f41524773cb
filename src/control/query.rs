//! The parameters of a request: each known by name, none ignored.
//!
//! A parameter that nobody reads is a mistake of the caller (`?wiat=60` would answer at once and
//! look like success), so it is refused by name.

use std::time::Duration;

use axum::{
    extract::Query,
    http::{HeaderMap, Uri, header},
};

use jiff::{Timestamp, ZonedDateTime};

use super::refusal::Refusal;
use crate::{model::RunId, wire};

/// The longest time for which an answer is held back.
pub(super) const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// The parameters that have not been read yet.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Result<Self, Refusal> {
        let Query(pairs) = Query::try_from_uri(uri)
            .map_err(|error| Refusal::bad_request(format!("cannot read the query: {error}")))?;
        Ok(Self(pairs))
    }

    /// `?wait=SECONDS`, at most [`LONGEST_WAIT`].
    pub(super) fn wait(&mut self) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.one("wait")? else { return Ok(None) };
        let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
        let Some(seconds) = seconds else {
            return Err(Refusal::bad_request(format!(
                "cannot wait \"{text}\": write seconds, 0 to {}",
                LONGEST_WAIT.as_secs()
            )));
        };
        Ok(Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)))
    }

    /// `?NAME=true` or `false`; a bare `?NAME` is true, none is false.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.one(name)?.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(text) => {
                Err(Refusal::bad_request(format!("\"{name}\" is \"{text}\": write true or false")))
            }
        }
    }

    /// `?until=TIME`: `+2h` or RFC 3339, in the future.
    pub(super) fn until(&mut self) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.one("until")? else { return Ok(None) };
        // A client that wrote `+2h` unescaped meant no blank.
        let text = match text.strip_prefix(' ') {
            Some(rest) => format!("+{rest}"),
            None => text,
        };
        let time = wire::time::parse_coming(&text, &ZonedDateTime::now());
        time.map(Some).map_err(Refusal::bad_request)
    }

    /// `?NAME=TEXT`: one line of at most so many bytes; empty is none.
    pub(super) fn line(&mut self, name: &str, longest: usize) -> Result<Option<String>, Refusal> {
        let Some(text) = self.one(name)?.filter(|text| !text.trim().is_empty()) else {
            return Ok(None);
        };
        if text.len() > longest || text.chars().any(char::is_control) {
            return Err(Refusal::bad_request(format!(
                "\"{name}\" is one line of at most {longest} bytes"
            )));
        }
        Ok(Some(text.trim().to_owned()))
    }

    /// `?NAME=NUMBER`, a whole number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_no_number| {
            Refusal::bad_request(format!("\"{name}\" is \"{text}\": write a whole number"))
        })
    }

    /// `?NAME=SECONDS`, a second or more.
    pub(super) fn seconds(&mut self, name: &str) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds >= 1.0);
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.map(Some).ok_or_else(|| {
            Refusal::bad_request(format!("\"{name}\" is \"{text}\": write seconds, 1 or more"))
        })
    }

    /// `?NAME=TEXT`, once.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        self.one(name)
    }

    /// `?NAME=TIME`, as people write times, seen from `now`.
    pub(super) fn time(
        &mut self,
        name: &str,
        now: &ZonedDateTime,
    ) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let at = wire::time::parse(&text, now);
        at.map(Some).map_err(|error| Refusal::bad_request(format!("cannot use {name}: {error}")))
    }

    /// Every `?NAME=VALUE`, in the order given.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect()
    }

    /// To be called when all known ones are read.
    pub(super) fn end(self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Refusal::bad_request(format!(
                "this path takes no parameter \"{}\"",
                name.escape_debug()
            ))),
        }
    }

    fn one(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let mut values = self.all(name);
        if values.len() > 1 {
            return Err(Refusal::bad_request(format!("\"{name}\" is given more than once")));
        }
        Ok(values.pop())
    }
}

/// `If-Match: RUN`, with or without quotes; none and `*` do not restrict.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<RunId>, Refusal> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" && values.next().is_none() {
        return Ok(None);
    }
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    match bare.parse() {
        Ok(run) if values.next().is_none() => Ok(Some(RunId(run))),
        _ => Err(Refusal::bad_request(
            "If-Match is no run: write the number that status shows as \"run\"",
        )),
    }
}

/// `Last-Event-ID: NUMBER`, as a reader of server-sent events sends it when it comes back.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_no_number| {
        Refusal::bad_request("Last-Event-ID is no number: send the id of the last event you got")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        Parameters::of(&format!("/x?{query}").parse().expect("a uri")).expect("a query")
    }

    #[test]
    fn a_wait_is_seconds_with_a_ceiling() {
        for (text, wait) in [("0", 0.0), ("2.5", 2.5), ("3600", 3600.0), ("1e30", 3600.0)] {
            let read = parameters(&format!("wait={text}")).wait().expect(text);
            assert_eq!(read, Some(Duration::from_secs_f64(wait)), "{text}");
        }
        for text in ["", "-1", "NaN", "soon", "5s"] {
            let refusal = parameters(&format!("wait={text}")).wait().expect_err(text);
            assert!(refusal.detail().contains("write seconds"), "{}", refusal.detail());
        }
        assert_eq!(parameters("").wait().expect("none"), None);
    }

    #[test]
    fn a_parameter_that_nobody_reads_is_refused_by_name() {
        let mut given = parameters("id=a&wiat=60&id=b");
        assert_eq!(given.all("id"), ["a", "b"]);
        let refusal = given.end().expect_err("unknown");
        assert_eq!(refusal.detail(), "this path takes no parameter \"wiat\"");
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        let refusal = parameters("wait=1&wait=2").wait().expect_err("twice");
        assert_eq!(refusal.detail(), "\"wait\" is given more than once");
    }

    #[test]
    fn a_run_is_read_with_quotes_and_without() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, value.parse().expect("a header"));
            if_match(&headers)
        };
        assert_eq!(read("12").expect("bare"), Some(RunId(12)));
        assert_eq!(read("\"12\"").expect("quoted"), Some(RunId(12)));
        assert_eq!(read("*").expect("any"), None);
        assert_eq!(if_match(&HeaderMap::new()).expect("none"), None);
        for wrong in ["", "\"x\"", "W/\"12\"", "12, 13", "-1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
