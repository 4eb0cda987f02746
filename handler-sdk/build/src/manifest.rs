//! Reads the few keys of a `Cargo.toml` that discovery needs.
//!
//! It does not use a TOML parser: this crate depends only on std, and cargo checks the rest of the file.

/// The part of a manifest that describes the library.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    /// `package.name`
    pub(crate) package: Option<String>,
    /// `lib.name`
    library: Option<String>,
    /// `lib.crate-type`
    crate_types: Vec<String>,
}

impl Manifest {
    pub(crate) fn parse(text: &str) -> Self {
        let mut manifest = Self::default();
        let mut section = String::new();
        let mut lines = text.lines().map(without_comment);
        while let Some(line) = lines.next() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').trim().to_owned();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let mut value = value.trim().to_owned();
            while value.starts_with('[') && !value.contains(']') {
                let Some(more) = lines.next() else { break };
                value.push_str(more.trim());
            }
            let key = key.trim().trim_matches(['"', '\'']);
            let path = if section.is_empty() {
                key.to_owned()
            } else {
                format!("{section}.{key}")
            };
            match path.replace(' ', "").as_str() {
                "package.name" => manifest.package = strings(&value).pop(),
                "lib.name" => manifest.library = strings(&value).pop(),
                "lib.crate-type" | "lib.crate_type" => manifest.crate_types = strings(&value),
                _ => {}
            }
        }
        manifest
    }

    /// Returns whether it builds a component.
    pub(crate) fn is_handler(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "cdylib")
    }

    /// Returns the file stem that rustc gives to the library.
    pub(crate) fn library_stem(&self) -> Option<String> {
        let name = self.library.as_ref().or(self.package.as_ref())?;
        Some(name.replace('-', "_"))
    }
}

/// Returns the quoted strings of a value.
fn strings(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(start) = rest.find(['"', '\'']) {
        let quote = rest.as_bytes()[start] as char;
        let inner = &rest[start + 1..];
        let Some(end) = inner.find(quote) else { break };
        found.push(inner[..end].to_owned());
        rest = &inner[end + 1..];
    }
    found
}

/// Removes a comment; a `#` within quotes does not begin one.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, char) in line.char_indices() {
        match (quote, char) {
            (None, '#') => return &line[..at],
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_a_cdylib() {
        let manifest = Manifest::parse(
            "[package]\nname = \"my-handler\" # \"other\"\n[lib]\ncrate-type = [\n  \"cdylib\", # for wasm\n  \"rlib\",\n]\n[dependencies]\nname = \"x\"\n",
        );
        assert!(manifest.is_handler());
        assert_eq!(manifest.package.as_deref(), Some("my-handler"));
        assert_eq!(manifest.library_stem().as_deref(), Some("my_handler"));
    }

    #[test]
    fn other_spellings_are_read() {
        let manifest =
            Manifest::parse("package.name = 'a'\nlib.crate-type = [\"cdylib\"]\nlib.name = \"b\"");
        assert!(manifest.is_handler());
        assert_eq!(manifest.library_stem().as_deref(), Some("b"));
    }

    #[test]
    fn a_library_or_a_program_is_not_a_handler() {
        for text in [
            "",
            "[package]\nname = \"a\"",
            "[lib]\ncrate-type = [\"rlib\"]",
            "[[bin]]\nname = \"cdylib\"",
            "# crate-type = [\"cdylib\"]",
        ] {
            assert!(!Manifest::parse(text).is_handler(), "{text}");
        }
    }
}
