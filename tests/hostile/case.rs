//! A case is data: what is dropped or sent, and how it has to end.

use std::path::Path;

use tests::raw;

/// What a handler of the catalogue may use, if its case says nothing else.
pub(crate) const LIMITS: &str = "cpu: 500ms, wall: 40s";
/// Its retry settings: one retry is enough for the tests.
pub(crate) const RETRY: &str =
    "max_attempts: 1, min_backoff: 10ms, max_backoff: 20ms, max_age: 500ms";
/// Its grants: one hostile server, one friendly server, one channel, one credential.
pub(crate) const ALLOW: &str =
    "http: [\"{wire}\", \"{sink}\"], slack: [alerts], credentials: [github, mirror]";

/// One hostile case.
pub(crate) struct Case {
    /// Its test's name, and its alert's.
    pub(crate) name: &'static str,
    /// The handler's name: its own, or one that it shares with cases that leave no state behind.
    pub(crate) handler: &'static str,
    pub(crate) harm: Harm,
    pub(crate) end: End,
    /// Texts that its story or the list of handlers must contain; ` | ` separates alternatives.
    pub(crate) told: Vec<String>,
    /// Texts that neither may contain.
    pub(crate) untold: Vec<&'static str>,
    /// The limit whose metric goes up.
    pub(crate) limit: Option<&'static str>,
    /// Settings of its handler, in YAML's flow style.
    pub(crate) allow: &'static str,
    pub(crate) limits: &'static str,
    pub(crate) retry: &'static str,
    /// True if an honest alert that was sent after it has to be done before it.
    pub(crate) outlasts: bool,
}

/// Makes a component for a handler of this name.
type Make = dyn Fn(&str) -> Vec<u8> + Send + Sync;

/// What it does.
pub(crate) enum Harm {
    /// Runs the guest `hostile` in a mode, in one of its hooks, with this label `url`.
    Guest {
        mode: &'static str,
        step: &'static str,
        url: &'static str,
    },
    /// Loads the guest `hostile`, whose `describe` runs in a mode.
    Describing(&'static str),
    /// Runs the guest `probe` with a script, in one of its hooks.
    Script { script: String, step: &'static str },
    /// Loads a component made by hand under this name, and runs it if it loads.
    Component(Box<Make>),
    /// Puts something at this path.
    File(fn(&Path)),
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The file is not served.
    Refused,
    /// Its delivery is `dead`.
    Dead,
    /// Its delivery is `done`: its calls were refused, or what it did was limited and reported.
    Done,
}

fn case(name: &'static str, harm: Harm) -> Case {
    Case {
        name,
        handler: name,
        harm,
        end: End::Done,
        told: Vec::new(),
        untold: Vec::new(),
        limit: None,
        allow: ALLOW,
        limits: LIMITS,
        retry: RETRY,
        outlasts: false,
    }
}

/// The guest `hostile` in `mode`, in `act`.
pub(crate) fn guest(name: &'static str, mode: &'static str) -> Case {
    let harm = Harm::Guest {
        mode,
        step: "act",
        url: "",
    };
    case(name, harm)
}

/// The guest `hostile` whose `describe` is in `mode`.
pub(crate) fn describing(name: &'static str, mode: &'static str) -> Case {
    case(name, Harm::Describing(mode)).is(End::Refused)
}

/// The guest `probe` with a script, in `act`.
pub(crate) fn script(name: &'static str, script: impl Into<String>) -> Case {
    let harm = Harm::Script {
        script: script.into(),
        step: "act",
    };
    case(name, harm)
}

/// A component around a core module.
pub(crate) fn core(name: &'static str, core: raw::Core) -> Case {
    component(name, move |name| raw::component(name, &core)).is(End::Dead)
}

/// A component of any kind.
pub(crate) fn component(
    name: &'static str,
    make: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> Case {
    case(name, Harm::Component(Box::new(make))).is(End::Refused)
}

/// Something in the folder.
pub(crate) fn file(name: &'static str, put: fn(&Path)) -> Case {
    case(name, Harm::File(put)).is(End::Refused)
}

impl Case {
    /// Sets how it ends.
    pub(crate) fn is(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// It ends `dead`.
    pub(crate) fn dies(self) -> Self {
        self.is(End::Dead)
    }

    /// It does harm in `enrich` instead of `act`: the delivery goes on without it.
    pub(crate) fn in_enrich(mut self) -> Self {
        match &mut self.harm {
            Harm::Guest { step, .. } | Harm::Script { step, .. } => *step = "enrich",
            Harm::Describing(_) | Harm::Component(_) | Harm::File(_) => {}
        }
        self
    }

    /// Gives the guest a URL.
    pub(crate) fn at(mut self, to: &'static str) -> Self {
        if let Harm::Guest { url, .. } = &mut self.harm {
            *url = to;
        }
        self
    }

    /// Sets texts that must be reported.
    pub(crate) fn tells<S: Into<String>>(mut self, parts: impl IntoIterator<Item = S>) -> Self {
        self.told.extend(parts.into_iter().map(Into::into));
        self
    }

    /// Sets a text that must not be reported.
    pub(crate) fn hides(mut self, part: &'static str) -> Self {
        self.untold.push(part);
        self
    }

    /// Names the limit that is met.
    pub(crate) fn meets(mut self, limit: &'static str) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Shares a handler with cases of the same guest and settings.
    pub(crate) fn on(mut self, handler: &'static str) -> Self {
        self.handler = handler;
        self
    }

    /// Grants something else.
    pub(crate) fn allows(mut self, allow: &'static str) -> Self {
        self.allow = allow;
        self
    }

    /// Limits it otherwise.
    pub(crate) fn within(mut self, limits: &'static str) -> Self {
        self.limits = limits;
        self
    }

    /// Tries it again otherwise.
    pub(crate) fn retries(mut self, retry: &'static str) -> Self {
        self.retry = retry;
        self
    }

    /// It lasts longer than an honest alert takes.
    pub(crate) fn outlasts(mut self) -> Self {
        self.outlasts = true;
        self
    }
}
