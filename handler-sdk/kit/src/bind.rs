//! Templates in the source code with values bound to them: queries and commands. Text from outside never becomes a part of the
//! template.

/// Returns the template with each `$name` replaced by what `value` returns for it; a name that it does not know stays.
pub(crate) fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let end = from[1..]
            .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
            .map_or(from.len(), |end| end + 1);
        match value(&from[1..end]) {
            Some(value) => filled.push_str(&value),
            None => filled.push_str(&from[..end]),
        }
        rest = &from[end..];
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_by_name_and_never_searched_again() {
        let value = |name: &str| (name == "a").then(|| "$b".to_owned());
        assert_eq!(fill("x=$a, y=$b$ $a", value), "x=$b, y=$b$ $b");
    }
}
