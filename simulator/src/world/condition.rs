//! Conditions of role assignments, as far as they speak of blobs: `ActionMatches` and the container's name, with AND, OR, NOT
//! and brackets. What is not understood is refused when it is written.
//!
//! Source: Microsoft's page "Azure role assignment condition format and syntax".

/// The attribute that names a blob's container.
const CONTAINER: &str = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]";

/// What is asked for.
pub(crate) struct Asked<'a> {
    /// Full name of the action.
    pub(crate) action: &'a str,
    /// Name of the container.
    pub(crate) container: &'a str,
}

/// Why a text is no condition of this world.
pub(crate) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// Whether a condition lets this through.
pub(crate) fn holds(text: &str, asked: &Asked<'_>) -> bool {
    parse(text).is_ok_and(|condition| condition.holds(asked))
}

#[derive(Debug)]
enum Condition {
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Action(String),
    /// The container's name is one of these; a `*` at the end stands for any rest where the operator says so.
    Container {
        names: Vec<String>,
        is_like: bool,
    },
}

impl Condition {
    fn holds(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Not(inner) => !inner.holds(asked),
            Self::And(all) => all.iter().all(|one| one.holds(asked)),
            Self::Or(all) => all.iter().any(|one| one.holds(asked)),
            Self::Action(action) => action.eq_ignore_ascii_case(asked.action),
            Self::Container { names, is_like } => {
                names.iter().any(|name| match name.strip_suffix('*') {
                    Some(start) if *is_like => asked.container.starts_with(start),
                    _ => name == asked.container,
                })
            }
        }
    }
}

fn parse(text: &str) -> Result<Condition, String> {
    let mut parser = Parser { rest: text.trim() };
    let condition = parser.any()?;
    if parser.rest.is_empty() { Ok(condition) } else { Err(parser.unknown()) }
}

struct Parser<'t> {
    rest: &'t str,
}

impl Parser<'_> {
    fn unknown(&self) -> String {
        let near: String = self.rest.chars().take(40).collect();
        format!("the condition is not understood at {near:?}")
    }

    fn take(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn need(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) { Ok(()) } else { Err(self.unknown()) }
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut all = vec![self.all()?];
        while self.take("OR") || self.take("||") {
            all.push(self.all()?);
        }
        Ok(Condition::Or(all))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut all = vec![self.one()?];
        while self.take("AND") || self.take("&&") {
            all.push(self.one()?);
        }
        Ok(Condition::And(all))
    }

    fn one(&mut self) -> Result<Condition, String> {
        if self.take("!") || self.take("NOT") {
            return Ok(Condition::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.any()?;
            self.need(")")?;
            return Ok(inner);
        }
        if self.take("ActionMatches") {
            self.need("{")?;
            let action = self.text()?;
            self.need("}")?;
            return Ok(Condition::Action(action));
        }
        self.need(CONTAINER)?;
        let is_like = self.take("StringLike");
        let is_one = is_like || self.take("StringEquals");
        if is_one {
            return Ok(Condition::Container { names: vec![self.text()?], is_like });
        }
        self.need("ForAnyOfAnyValues:StringEquals")?;
        self.need("{")?;
        let mut names = vec![self.text()?];
        while self.take(",") {
            names.push(self.text()?);
        }
        self.need("}")?;
        Ok(Condition::Container { names, is_like: false })
    }

    fn text(&mut self) -> Result<String, String> {
        let inner = self.rest.strip_prefix('\'').ok_or_else(|| self.unknown())?;
        let end = inner.find('\'').ok_or_else(|| self.unknown())?;
        self.rest = inner[end + 1..].trim_start();
        Ok(inner[..end].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microsoft's own example "Read blobs in named containers", and one with two actions.
    #[test]
    fn microsofts_examples_mean_what_they_say() {
        const READ: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
        const WRITE: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write";
        let one = format!(
            "(\n (\n  !(ActionMatches{{'{READ}'}})\n )\n OR \n (\n  {CONTAINER} StringEquals 'blobs-example-container'\n )\n)"
        );
        let two = format!(
            "((!(ActionMatches{{'{READ}'}}) AND !(ActionMatches{{'{WRITE}'}})) OR ({CONTAINER} \
             ForAnyOfAnyValues:StringEquals {{'a', 'b'}} OR {CONTAINER} StringLike 'status-*'))"
        );
        let table = [
            (&one, READ, "blobs-example-container", true),
            (&one, READ, "another", false),
            // Of other actions it says nothing.
            (&one, WRITE, "another", true),
            (&two, WRITE, "b", true),
            (&two, READ, "status-7", true),
            (&two, READ, "statu", false),
            (&two, WRITE, "c", false),
        ];
        for (text, action, container, wanted) in table {
            check(text).unwrap();
            assert_eq!(holds(text, &Asked { action, container }), wanted, "{action} {container}");
        }
        for wrong in ["", "(", "@Request[x] StringEquals 'a'", "ActionMatches{'a'} nonsense"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
