//! Makes the host calls in its alert's annotation `script`, one per line, and returns the results: the same code runs
//! natively on the mock host and as a component on the real one.

use std::time::Duration;

use handler_sdk::http::{ErrorKind, Method};
use handler_sdk::prelude::*;
use handler_sdk::{history, kv, slack, timer};

const ANY: Setting = Setting::string("*", "whatever the script asks for");

/// The handler.
#[derive(Debug)]
pub struct Conformance;

impl Handler for Conformance {
    fn describe() -> Description {
        Description::new(
            "conformance",
            env!("CARGO_PKG_VERSION"),
            "Asks what its alert says.",
        )
        .alerts(["*"])
        .settings([&ANY])
    }

    fn enrich(cx: &Cx, alert: &Alert, _: &Enrichment) -> Result<Enrichment, Failure> {
        match alert.label("step") {
            Some("enrich") => Ok(Enrichment::new().with_fact("answers", run(cx, alert)?)),
            _ => Ok(Enrichment::new()),
        }
    }

    fn act(cx: &Cx, alert: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        match alert.label("step") {
            Some("enrich") => Ok(Facts::new()),
            _ => Ok(Facts::new().with("answers", run(cx, alert)?)),
        }
    }
}

handler_sdk::export!(Conformance);

/// The state of a script that runs.
struct Script<'a> {
    cx: &'a Cx,
    base: &'a str,
    /// The message that was posted last.
    last: MessageRef,
}

fn run(cx: &Cx, alert: &Alert) -> Result<String, Failure> {
    let mut script = Script {
        cx,
        base: alert.annotation("base").unwrap_or_default(),
        last: MessageRef::from("none".to_owned()),
    };
    let mut answers: Vec<(String, u32)> = Vec::new();
    for line in alert.annotation("script").unwrap_or_default().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (times, words) = match words.as_slice() {
            ["repeat", times, rest @ ..] => (times.parse().unwrap_or(1), rest),
            words => (1, words),
        };
        for n in 0..times {
            // A `#` is the number of the repetition.
            let made: Vec<String> = words
                .iter()
                .map(|word| word.replace('#', &n.to_string()))
                .collect();
            let made: Vec<&str> = made.iter().map(String::as_str).collect();
            if words == ["fail-once"] && cx.call().attempt == 1 {
                return Err(Failure::retryable(shown(&answers)));
            }
            let answer = format!("{}: {}", words.join(" "), script.perform(&made));
            match answers.last_mut() {
                Some((last, times)) if *last == answer => *times += 1,
                _ => answers.push((answer, 1)),
            }
        }
    }
    Ok(shown(&answers))
}

/// Joins the results; equal consecutive ones are counted.
fn shown(answers: &[(String, u32)]) -> String {
    let line = |(answer, times): &(String, u32)| match times {
        1 => answer.clone(),
        times => format!("{answer} ×{times}"),
    };
    answers.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns N bytes of text for `@N`, and no text for `_`.
fn text(word: &str) -> String {
    match word.strip_prefix('@').map(str::parse) {
        Some(Ok(bytes)) => "x".repeat(bytes),
        _ if word == "_" => String::new(),
        _ => word.to_owned(),
    }
}

/// Returns the values of the options that begin with `name=`.
fn options<'a>(words: &'a [&str], name: &'a str) -> impl Iterator<Item = String> + 'a {
    let value = move |word: &&str| word.strip_prefix(name)?.strip_prefix('=').map(text);
    words.iter().filter_map(value)
}

impl Script<'_> {
    fn perform(&mut self, words: &[&str]) -> String {
        match words {
            ["http", method, url, options @ ..] => self.http(method, url, options),
            ["post", channel, said, options @ ..] => self.post(channel, said, options),
            ["update", at, said, options @ ..] => {
                let mut message = Message::new("ignored", text(said));
                for key in self::options(options, "key") {
                    message = message.key(key);
                }
                let done = self.cx.slack().update(&self.reference(at), message);
                slack_answer(done.map(|_| "updated"))
            }
            ["react", at, emoji] => {
                let done = self.cx.slack().react(&self.reference(at), &text(emoji));
                slack_answer(done.map(|()| "reacted"))
            }
            ["upload", name, options @ ..] => {
                let mut file = slack::File::new(text(name), "a file", "image/png", [1, 2]);
                for key in self::options(options, "key") {
                    file = file.key(key);
                }
                let done = self.cx.slack().upload(file);
                slack_answer(done.map(|_| "uploaded"))
            }
            ["get", key] => match self.cx.kv().get_string(&text(key)) {
                Ok(Some(value)) => format!("{} bytes, {:.20}", value.len(), value),
                Ok(None) => "absent".to_owned(),
                Err(error) => kv_error(&error),
            },
            ["set", key, value, options @ ..] => {
                let done = self.cx.kv().set(&text(key), text(value), ttl(options));
                done.map_or_else(|error| kv_error(&error), |()| "set".to_owned())
            }
            ["set-if-absent", key, value, options @ ..] => {
                let kv = self.cx.kv();
                let done = kv.set_if_absent(&text(key), text(value), ttl(options));
                done.map_or_else(|error| kv_error(&error), |absent| absent.to_string())
            }
            ["increment", key, by, options @ ..] => {
                let by = by.parse().unwrap_or(1);
                let done = self.cx.kv().increment(&text(key), by, ttl(options));
                done.map_or_else(|error| kv_error(&error), |value| value.to_string())
            }
            ["remove", key] => {
                let done = self.cx.kv().remove(&text(key));
                done.map_or_else(|error| kv_error(&error), |()| "removed".to_owned())
            }
            // `earlier SECONDS LABEL…`
            ["earlier", seconds, same @ ..] => {
                let within = Duration::from_secs(seconds.parse().unwrap_or_default());
                let same: Vec<String> = same.iter().map(|label| text(label)).collect();
                let same: Vec<&str> = same.iter().map(String::as_str).collect();
                match self.cx.history().earlier(&same, within) {
                    Ok(past) => format!("{} earlier", past.count),
                    Err(error) => history_error(&error),
                }
            }
            ["after", key, seconds, facts @ ..] => {
                let delay = Duration::from_secs(seconds.parse().unwrap_or_default());
                let facts = facts.iter().filter_map(|fact| fact.split_once('='));
                let facts = facts.map(|(name, value)| (text(name), text(value)));
                let set = self.cx.timer().after(&text(key), delay, facts.collect());
                set.map_or_else(|error| timer_error(&error), |()| "set".to_owned())
            }
            ["cancel-timer", key] => {
                let done = self.cx.timer().cancel(&text(key));
                done.map_or_else(|error| timer_error(&error), |()| "cancelled".to_owned())
            }
            ["config", key] => format!("{:?}", self.cx.config(&text(key))),
            ["log", said] => {
                self.cx.log().info(&text(said), &[]);
                "logged".to_owned()
            }
            ["clock"] => self.cx.now().to_string(),
            ["attempt"] => self.cx.call().attempt.to_string(),
            ["fail-once"] => "passed".to_owned(),
            _ => "no such question".to_owned(),
        }
    }

    fn http(&self, method: &str, url: &str, options: &[&str]) -> String {
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            _ => Method::Delete,
        };
        let reads = matches!(method, Method::Get | Method::Head);
        let url = match url.strip_prefix('/') {
            Some(path) => format!("{}/{path}", self.base),
            None => text(url),
        };
        let url = match self::options(options, "query").next() {
            Some(query) => format!("{url}?{query}"),
            None => url,
        };
        let mut request = self.cx.http().request(method, url);
        for (name, value) in self::options(options, "header").filter_map(|header| {
            let (name, value) = header.split_once(':')?;
            Some((text(name), text(value)))
        }) {
            request = request.header(name, value.replace("\\n", "\n"));
        }
        for count in self::options(options, "headers") {
            for n in 0..count.parse().unwrap_or(0) {
                request = request.header(format!("x-{n}"), "y");
            }
        }
        for body in self::options(options, "body") {
            request = request.body(body);
        }
        for key in self::options(options, "key") {
            request = request.key(key);
        }
        for credential in self::options(options, "credential") {
            request = request.credential(credential);
        }
        // Differs from attempt to attempt.
        if options.contains(&"attempt") {
            request = request.body(self.cx.call().attempt.to_string());
        }
        for ms in self::options(options, "timeout") {
            request = request.timeout(Duration::from_millis(ms.parse().unwrap_or(1)));
        }
        match request.send() {
            Ok(response) => format!(
                "{} x-mark={:?} location={:?} {} bytes, {:.20}",
                response.status,
                response.header("X-Mark"),
                response.header("location"),
                response.body.len(),
                response.text()
            ),
            // The response to an effect is limited by what can still be recorded, a number that only the real host has.
            Err(error) if !reads && matches!(error.kind(), ErrorKind::TooLarge(_)) => {
                "too large".to_owned()
            }
            Err(error) => http_error(error.kind()),
        }
    }

    fn post(&mut self, channel: &str, said: &str, options: &[&str]) -> String {
        let mut message = Message::new(text(channel), text(said));
        if options.contains(&"blocks") {
            message = message.blocks(Blocks::new().section(said.to_owned()));
        }
        for key in self::options(options, "key") {
            message = message.key(key);
        }
        for thread in self::options(options, "thread") {
            message = message.thread(&self.reference(&thread));
        }
        let posted = self.cx.slack().post(message);
        slack_answer(posted.map(|at| {
            self.last = at;
            "posted"
        }))
    }

    fn reference(&self, word: &str) -> MessageRef {
        match word {
            "last" => self.last.clone(),
            other => MessageRef::from(other.to_owned()),
        }
    }
}

fn ttl(options: &[&str]) -> Option<Duration> {
    let seconds = self::options(options, "ttl").next()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Returns an error's kind and numbers: the texts are for people, and differ between the two hosts.
fn http_error(error: &ErrorKind) -> String {
    match error {
        ErrorKind::Denied(_) => "denied".to_owned(),
        ErrorKind::InvalidRequest(why) => format!("invalid: {}", limit(why)),
        ErrorKind::Unreachable(_) => "unreachable".to_owned(),
        ErrorKind::Timeout => "timeout".to_owned(),
        ErrorKind::TooLarge(max) => format!("too large: {max}"),
        ErrorKind::BudgetExhausted(which) => format!("budget: {}", limit(which)),
        ErrorKind::Unavailable(_) => "unavailable".to_owned(),
        other => format!("{other:?}"),
    }
}

fn slack_answer(answer: Result<&'static str, slack::Error>) -> String {
    match answer {
        Ok(done) => done.to_owned(),
        Err(slack::Error::Denied(_)) => "denied".to_owned(),
        Err(slack::Error::Invalid(why)) => format!("invalid: {}", limit(&why)),
        Err(slack::Error::NotFound) => "not found".to_owned(),
        Err(slack::Error::RateLimited(wait)) => format!("rate limited: {} s", wait.as_secs()),
        Err(slack::Error::Unavailable(_)) => "unavailable".to_owned(),
        Err(slack::Error::Timeout) => "timeout".to_owned(),
        Err(slack::Error::BudgetExhausted(which)) => format!("budget: {}", limit(&which)),
        Err(other) => format!("{other:?}"),
    }
}

fn kv_error(error: &kv::Error) -> String {
    match error {
        kv::Error::TooLarge(max) => format!("too large: {max}"),
        kv::Error::QuotaExceeded => "over the quota".to_owned(),
        kv::Error::Unavailable(_) => "unavailable".to_owned(),
        kv::Error::BudgetExhausted(which) => format!("budget: {}", limit(which)),
    }
}

fn history_error(error: &history::Error) -> String {
    match error {
        history::Error::Invalid(why) => format!("invalid: {}", limit(why)),
        history::Error::Unavailable(_) => "unavailable".to_owned(),
        history::Error::BudgetExhausted(which) => format!("budget: {}", limit(which)),
    }
}

fn timer_error(error: &timer::Error) -> String {
    match error {
        timer::Error::Denied(_) => "denied".to_owned(),
        timer::Error::Invalid(_) => "invalid".to_owned(),
        timer::Error::Unavailable(_) => "unavailable".to_owned(),
        timer::Error::BudgetExhausted(which) => format!("budget: {}", limit(which)),
    }
}

/// Returns the name of the limit at the beginning of a report.
fn limit(report: &str) -> &str {
    report.split_once(':').map_or("", |(name, _)| name)
}
