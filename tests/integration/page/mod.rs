//! The page as a browser meets it, over HTTP. What it shows is read by an HTML parser, as a browser reads it.

mod access;
mod activity;
mod delivery;
mod hostile;
mod live;
mod views;

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, Method, StatusCode, redirect};
use scraper::{ElementRef, Html, Selector};
use tests::server::Server;

/// A browser on a server, with what it sends with each request.
struct Browser<'a> {
    server: &'a Server,
    http: Client,
    headers: Vec<(&'static str, String)>,
}

/// An answer that was read.
struct Page {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    html: Html,
}

impl<'a> Browser<'a> {
    /// A browser that has proved nothing.
    fn new(server: &'a Server) -> Self {
        let http = Client::builder().redirect(redirect::Policy::none());
        Self {
            server,
            http: http.build().unwrap(),
            headers: Vec::new(),
        }
    }

    /// Sends a header with each request from now on.
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Page {
        let url = format!("{}{path}", self.server.url);
        let mut request = self.http.request(method, url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            let form = "application/x-www-form-urlencoded";
            request = request.header("content-type", form).body(body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.text().await.unwrap();
        Page {
            status,
            headers,
            html: Html::parse_document(&body),
            body,
        }
    }

    /// Follows a link.
    async fn get(&self, path: &str) -> Page {
        self.ask(Method::GET, path, None).await
    }

    /// Follows a link to a page that has to be there.
    async fn see(&self, path: &str) -> Page {
        let page = self.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text("main"));
        page
    }

    /// Posts a form.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let body = form.extend_pairs(fields).finish();
        self.ask(Method::POST, path, Some(body)).await
    }
}

impl Browser<'_> {
    /// Posts the form that does something with deliveries, and follows to what was done.
    async fn apply(&self, fields: &[(&str, &str)]) -> Page {
        let answer = self.post("/deliveries/apply", fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        let place = answer.header("location").strip_prefix('.').unwrap();
        self.see(&format!("/deliveries{place}")).await
    }
}

impl Page {
    fn elements(&self, selector: &str) -> Vec<ElementRef<'_>> {
        let selector = Selector::parse(selector).unwrap();
        self.html.select(&selector).collect()
    }

    /// Returns the text of each element, with white space as a browser shows it.
    fn texts(&self, selector: &str) -> Vec<String> {
        let shown = |element: ElementRef<'_>| {
            let text: Vec<&str> = element.text().collect();
            text.join(" ")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        self.elements(selector).into_iter().map(shown).collect()
    }

    /// Returns the text of all of these elements.
    fn text(&self, selector: &str) -> String {
        self.texts(selector).join("\n")
    }

    /// Returns an attribute of each element that has it.
    fn attributes(&self, selector: &str, name: &str) -> Vec<String> {
        let elements = self.elements(selector).into_iter();
        let values = elements.filter_map(|element| element.value().attr(name));
        values.map(str::to_owned).collect()
    }

    /// Returns a header; empty if there is none.
    fn header(&self, name: &str) -> &str {
        let name: HeaderName = name.parse().unwrap();
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the token of the page's forms.
    fn token(&self) -> String {
        let tokens = self.attributes("input[name=token]", "value");
        tokens.into_iter().next().expect("a form")
    }

    /// Returns what is wrong with the page whatever it shows: a browser would have had to correct it, something in it could run
    /// or be loaded from elsewhere, or a person could not find their way.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |what: &str, found: &[String]| {
            if !found.is_empty() {
                faults.push(format!("{what}: {found:?}"));
            }
        };
        let errors: Vec<_> = self.html.errors.iter().map(ToString::to_string).collect();
        fault("no valid HTML", &errors);
        fault("a style", &self.attributes("[style]", "style"));
        fault("a style", &self.texts("style"));
        fault("a script", &self.texts("script:not([src])"));
        let everything = self.elements("*").into_iter();
        let handlers = everything.flat_map(|element| element.value().attrs());
        let handlers = handlers.filter(|(name, _)| name.starts_with("on"));
        let handlers: Vec<_> = handlers.map(|(name, _)| name.to_owned()).collect();
        fault("an event handler", &handlers);
        let loaded = ["script[src]", "img[src]", "iframe[src]"].map(|s| self.attributes(s, "src"));
        let links = self.attributes("link[href]", "href");
        let actions = self.attributes("form[action]", "action");
        let of_others = loaded.concat().into_iter().chain(links).chain(actions);
        let of_others: Vec<_> = of_others.filter(|url| !url.starts_with('.')).collect();
        fault("from elsewhere", &of_others);
        let mut ids = self.attributes("[id]", "id");
        ids.sort();
        let twice: Vec<_> = ids.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        let twice: Vec<_> = twice.iter().map(|pair| pair[0].clone()).collect();
        fault("an id twice", &twice);
        for (selector, count) in [
            ("html[lang=en]", 1),
            ("main#main", 1),
            ("h1", 1),
            ("title", 1),
        ] {
            let found = self.elements(selector).len();
            if found != count {
                faults.push(format!("{found} {selector}"));
            }
        }
        let is_named = |input: &ElementRef<'_>| {
            let value = input.value();
            let by_label = value
                .attr("id")
                .is_some_and(|id| !self.elements(&format!("label[for=\"{id}\"]")).is_empty());
            by_label || value.attr("aria-label").is_some()
        };
        let inputs = "input:not([type=hidden]), select, textarea";
        for input in self
            .elements(inputs)
            .iter()
            .filter(|input| !is_named(input))
        {
            faults.push(format!("no label: {}", input.html()));
        }
        faults
    }
}
