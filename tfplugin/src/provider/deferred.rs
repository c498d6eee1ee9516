//! Why something cannot be done in this round.

/// A reason to put something off until more is known.
///
/// Terraform has to allow it, see [`crate::Context::deferral_allowed`]; it then plans the rest and
/// asks for another round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deferred {
    /// Its own configuration holds an unknown that the plan depends on.
    ResourceConfigUnknown,
    /// The provider's configuration does.
    ProviderConfigUnknown,
    /// Something that it needs is not there yet.
    AbsentPrerequisite,
}
