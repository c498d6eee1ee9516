//! What can be wrong with a value, and where.

use std::fmt;

use crate::path::{Path, Step};

/// A value that cannot be read or does not fit its type, with the place in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// Where in the value.
    pub path: Path,
    /// What is wrong there.
    pub problem: String,
}

impl ValueError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { path: Path::empty(), problem: problem.into() }
    }

    /// The same error, seen from one step further out.
    pub(crate) fn below(self, step: Step) -> Self {
        let outer = Path::empty().then(step);
        let path = self.path.steps().iter().cloned().fold(outer, Path::then);
        Self { path, problem: self.problem }
    }

    pub(crate) fn at(path: &Path, problem: impl Into<String>) -> Self {
        Self { path: path.clone(), problem: problem.into() }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.path, self.problem)
        }
    }
}

impl std::error::Error for ValueError {}

/// The place that a codec has reached: a path with a limit on its depth.
#[derive(Debug, Default)]
pub(crate) struct Place(Path);

impl Place {
    /// Goes one step deeper; [`Place::leave`] goes back.
    pub(crate) fn enter(&mut self, step: Step) -> Result<(), ValueError> {
        if self.0.steps().len() >= super::DEPTH_MAX {
            return Err(self.error(format!("nested deeper than {} levels", super::DEPTH_MAX)));
        }
        self.0.push(step);
        Ok(())
    }

    /// Goes one step back.
    pub(crate) fn leave(&mut self) {
        self.0.pop();
    }

    /// Does something one step deeper.
    pub(crate) fn within<T>(
        &mut self,
        step: Step,
        action: impl FnOnce(&mut Self) -> Result<T, ValueError>,
    ) -> Result<T, ValueError> {
        self.enter(step)?;
        let result = action(self);
        self.leave();
        result
    }

    /// An error at this place.
    pub(crate) fn error(&self, problem: impl Into<String>) -> ValueError {
        ValueError::at(&self.0, problem)
    }
}

/// The step into the n-th element of a list, set or tuple.
pub(crate) fn index(position: usize) -> Step {
    Step::Index(i64::try_from(position).unwrap_or(i64::MAX))
}
