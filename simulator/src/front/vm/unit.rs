//! systemd units, as far as a server's services need them.

use std::collections::BTreeMap;
use std::path::Path;

/// A service unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    values: BTreeMap<String, Vec<String>>,
}

impl Unit {
    /// Reads a unit file. Unknown keys are kept and ignored; an empty value resets a list.
    pub(crate) fn parse(text: &str) -> Self {
        let joined = text.replace("\\\n", " ");
        let mut section = String::new();
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in joined.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=') {
                let rows = values.entry(format!("{section}.{}", key.trim())).or_default();
                if value.trim().is_empty() {
                    rows.clear();
                } else {
                    rows.push(value.trim().to_owned());
                }
            }
        }
        Self { values }
    }

    /// All values of a key of `[Service]`.
    pub(crate) fn all(&self, key: &str) -> &[String] {
        self.values.get(&format!("Service.{key}")).map_or(&[], Vec::as_slice)
    }

    /// The last value of a key of `[Service]`.
    pub(crate) fn last(&self, key: &str) -> &str {
        self.all(key).last().map_or("", String::as_str)
    }

    /// Variables of `Environment=` and `EnvironmentFile=`.
    pub(crate) fn environment(&self, root: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for value in self.all("Environment") {
            for word in split(value) {
                if let Some((name, value)) = word.split_once('=') {
                    found.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        for file in self.all("EnvironmentFile") {
            let path = file.trim_start_matches('-').replace("${HCS_ROOT}", &root.to_string_lossy());
            let path = if Path::new(&path).starts_with(root) {
                path.into()
            } else {
                root.join(path.trim_start_matches('/'))
            };
            let text = std::fs::read_to_string(path).unwrap_or_default();
            for line in text.lines().map(str::trim).filter(|l| !l.starts_with('#')) {
                if let Some((name, value)) = line.split_once('=') {
                    let value = value.trim().trim_matches('"').trim_matches('\'');
                    found.push((name.trim().to_owned(), value.to_owned()));
                }
            }
        }
        found
    }

    /// Whether the service starts again after it ended.
    pub(crate) fn restarts(&self, clean: bool) -> bool {
        match self.last("Restart") {
            "always" => true,
            "on-success" => clean,
            "on-failure" | "on-abnormal" | "on-abort" | "on-watchdog" => !clean,
            _ => false,
        }
    }

    /// Whether the service is one command that ends.
    pub(crate) fn oneshot(&self) -> bool {
        self.last("Type") == "oneshot"
    }

    /// Seconds that a stop may take.
    pub(crate) fn stop_timeout_s(&self) -> u64 {
        let text = self.last("TimeoutStopSec");
        let (number, unit) =
            text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let scale = if unit.trim() == "min" { 60 } else { 1 };
        number.parse::<u64>().map_or(90, |n| n * scale)
    }
}

/// Splits a command line as systemd does: blanks, quotes, backslashes.
pub(crate) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', q) if q != Some('\'') => {
                if let Some(next) = chars.next() {
                    let next = match next {
                        'n' => '\n',
                        't' => '\t',
                        other => other,
                    };
                    word.get_or_insert_default().push(next);
                }
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(q)) if c == q => quote = None,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Puts variables in, as systemd does: `${X}` anywhere, `$X` as a word of its own, `$$` and `%%`.
pub(crate) fn expand(words: &[String], env: &BTreeMap<String, String>) -> Vec<String> {
    let mut out = Vec::new();
    for word in words {
        let name = word.strip_prefix('$').filter(|n| !n.is_empty() && n.chars().all(is_name));
        if let Some(name) = name {
            let value = env.get(name).map_or("", String::as_str);
            out.extend(value.split_whitespace().map(str::to_owned));
            continue;
        }
        let mut text = String::new();
        let mut rest = word.as_str();
        while let Some(at) = rest.find(['$', '%']) {
            text.push_str(&rest[..at]);
            rest = &rest[at..];
            let braced = rest.strip_prefix("${").and_then(|r| r.split_once('}'));
            if let Some((name, tail)) = braced.filter(|(n, _)| n.chars().all(is_name)) {
                text.push_str(env.get(name).map_or("", String::as_str));
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix("$$") {
                text.push('$');
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix("%%") {
                text.push('%');
                rest = tail;
            } else {
                text.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
        text.push_str(rest);
        out.push(text);
    }
    out
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_command_reaches_the_shell_unharmed() {
        let line = r#"/bin/sh -c 'exec "$HCS_ROOT/opt/hcs/bin/hcs-host-manager" run'"#;
        let env = [("HCS_ROOT".to_owned(), "/vm".to_owned())].into();
        let words = expand(&split(line), &env);
        assert_eq!(
            words,
            ["/bin/sh", "-c", r#"exec "$HCS_ROOT/opt/hcs/bin/hcs-host-manager" run"#]
        );
    }

    #[test]
    fn braced_variables_are_put_in_anywhere_and_bare_ones_as_words() {
        let env = [("A".to_owned(), "x y".to_owned())].into();
        let words = expand(&split("cmd ${A}/z $A $$A 100%%"), &env);
        assert_eq!(words, ["cmd", "x y/z", "x", "y", "$A", "100%"]);
    }

    #[test]
    fn restart_follows_the_unit() {
        let unit = Unit::parse("[Service]\nExecStart=/bin/true\nRestart=on-failure\n");
        assert!(unit.restarts(false));
        assert!(!unit.restarts(true));
        assert_eq!(unit.stop_timeout_s(), 90);
    }
}
