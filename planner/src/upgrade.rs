//! Upgrades of Consul that the servers carry out by themselves, and what runs while one goes on.
//!
//! A declaration names a version or a channel. The leading server notes each way from one version to another in the
//! cluster's decisions before any server goes it; the version that is in force follows from document and note together.

use std::collections::BTreeMap;

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataplane::{ClusterDocument, ConsulArtifact};
use crate::maintenance::{Exclusion, Schedule, Window, Work};
use crate::releases::{check_upgrade, newest};

/// Where HashiCorp publishes releases.
pub const RELEASE_INDEX: &str = "https://releases.hashicorp.com/consul";
/// The word for no index at all.
pub const NO_INDEX: &str = "none";

/// Which releases a cluster takes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// None.
    #[default]
    None,
    /// Fixes of the series that runs.
    Patch,
    /// Later series of the same first number, too.
    Minor,
    /// All.
    Major,
    /// Something that a newer version knows.
    #[serde(other)]
    Unknown,
}

impl Channel {
    /// Every word that a configuration may have.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("none", Self::None),
        ("patch", Self::Patch),
        ("minor", Self::Minor),
        ("major", Self::Major),
    ];

    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, one)| *one == self).map_or("unknown", |(word, _)| word)
    }

    /// Whether the cluster takes releases by itself.
    pub fn is_on(self) -> bool {
        !matches!(self, Self::None | Self::Unknown)
    }

    fn goes(self, from: &Version, to: &Version) -> bool {
        match self {
            Self::None | Self::Unknown => false,
            Self::Patch => (from.major, from.minor) == (to.major, to.minor),
            Self::Minor => from.major == to.major,
            Self::Major => true,
        }
    }

    /// The release to which a cluster goes next, of those that are offered: the newest sound one to which Consul goes in one
    /// step. Test versions and those of Enterprise are no releases, and of a series that this program does not know it is
    /// not known what it needs.
    pub fn next<'v>(
        self,
        from: &Version,
        offered: impl IntoIterator<Item = &'v Version>,
        frozen: impl Fn(Work) -> bool,
    ) -> Option<&'v Version> {
        let known = newest();
        let is_possible = |to: &&Version| {
            *to > from
                && to.pre.is_empty()
                && to.build.is_empty()
                && (to.major, to.minor) <= (known.major, known.minor)
                && self.goes(from, to)
                && !frozen(work(from, to))
                && check_upgrade(from, to).is_ok()
        };
        offered.into_iter().filter(is_possible).max()
    }
}

/// What a way from one version to another is.
pub fn work(from: &Version, to: &Version) -> Work {
    if (from.major, from.minor) == (to.major, to.minor) { Work::Fix } else { Work::NewSeries }
}

/// What a cluster's document says of its maintenance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Which releases it takes.
    #[serde(default)]
    pub channel: Channel,
    /// Where it looks for them; none: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_index: Option<String>,
    /// When; none: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// When not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Exclusion>,
}

impl Maintenance {
    /// Whether nothing is declared.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// When the window opens that is open now, or the next one, RFC 3339. `None` without windows.
    pub fn next_at(&self, now_unix_ms: u64) -> Option<String> {
        if self.windows.is_empty() {
            return None;
        }
        let now = Timestamp::from_millisecond(i64::try_from(now_unix_ms).ok()?).ok()?;
        Some(self.schedule().opening(Work::Fix, now)?.start.to_string())
    }

    /// Its times.
    pub fn schedule(&self) -> Schedule<'_> {
        Schedule { windows: &self.windows, exclusions: &self.exclusions }
    }
}

/// `decisions/upgrade.json`: the last way from one version to another. The leading server writes it; one that fails stops it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// Of this way alone.
    pub id: String,
    /// What ran before.
    pub from: ConsulArtifact,
    /// What is to run.
    pub to: ConsulArtifact,
    /// Why.
    pub by: By,
    /// How far it is.
    pub phase: UpgradePhase,
    /// Generation of the cluster's document that the last writer knew.
    pub generation: u64,
    /// RFC 3339: when this phase began.
    pub since: String,
    /// Why it does not go on, or was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Name of the blob in `snapshots` that was taken before the first server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// RFC 3339: not before then, where it waits for a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// A server has led with [`Self::to`], so that it cannot be taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_led: bool,
    /// Id of the request that took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back_for: Option<String>,
    /// What was taken back before this way, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A Consul that was taken back: it does not come again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which one.
    pub consul: ConsulArtifact,
    /// Generation of the cluster's document then. Whoever declares it again, at a later one, means it.
    pub generation: u64,
    /// Id of the request that took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// So many are remembered.
const REFUSED_MAX: usize = 32;

/// Who wants another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The channel: windows bind it.
    Channel,
    /// A declaration: it has come with an apply, which looked at the windows.
    Declaration,
    /// Something that a newer version knows.
    #[serde(other)]
    Unknown,
}

/// How far an [`Upgrade`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpgradePhase {
    /// It is known and verified, and waits for its window.
    Chosen,
    /// A snapshot was taken; servers go one at a time.
    Running,
    /// A server did not come back well; no other follows.
    Stopped,
    /// All run it.
    Done,
    /// Back to what ran before.
    TakenBack,
    /// Something that a newer version knows.
    #[serde(other)]
    Unknown,
}

impl Upgrade {
    /// What its phase brings into force.
    pub fn decided(&self) -> Option<&ConsulArtifact> {
        match self.phase {
            UpgradePhase::Chosen | UpgradePhase::TakenBack => Some(&self.from),
            UpgradePhase::Running | UpgradePhase::Stopped | UpgradePhase::Done => Some(&self.to),
            UpgradePhase::Unknown => None,
        }
    }

    /// What is not to come by itself after this way: what was taken back before, and what it brought where it was taken back.
    pub fn refusals(&self) -> Vec<Refused> {
        let own = (self.phase == UpgradePhase::TakenBack).then(|| Refused {
            consul: self.to.clone(),
            generation: self.generation,
            request: self.taken_back_for.clone(),
        });
        let mut all: Vec<Refused> = self.refused.iter().cloned().chain(own).collect();
        all.drain(..all.len().saturating_sub(REFUSED_MAX));
        all
    }

    /// Whether this request was served, by whichever server: more than one may find it, and none knows the others' answers yet.
    pub fn was_taken_back_for(&self, request: &str) -> bool {
        self.refusals().iter().any(|refused| refused.request.as_deref() == Some(request))
    }

    /// Whether this version was taken back.
    pub fn has_refused(&self, version: &Version) -> bool {
        self.refusals().iter().any(|refused| refused.consul.version == *version)
    }

    /// Whether what a document declares was taken back since.
    fn refuses(&self, document: &ClusterDocument) -> bool {
        self.refusals().iter().any(|refused| {
            refused.consul == document.consul && document.consul_declared_at <= refused.generation
        })
    }

    /// Whether servers may be on their way still.
    pub fn goes_on(&self) -> bool {
        matches!(
            self.phase,
            UpgradePhase::Running | UpgradePhase::Stopped | UpgradePhase::TakenBack
        )
    }

    /// What is told of it, for people.
    pub fn told(&self) -> String {
        let (from, to) = (&self.from.version, &self.to.version);
        let because = self.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        match self.phase {
            UpgradePhase::Chosen => {
                let when = self.not_before.as_deref();
                let when = when.map_or_else(|| "soon".to_owned(), |at| format!("from {at} on"));
                format!("Consul {to} is verified and comes {when}{because}")
            }
            UpgradePhase::Running => match &self.not_before {
                Some(at) => format!("Consul goes from {from} to {to}; it goes on at {at}{because}"),
                None => format!("Consul goes from {from} to {to}, one server at a time"),
            },
            UpgradePhase::Stopped => {
                format!("The way from Consul {from} to {to} has stopped{because}")
            }
            UpgradePhase::Done => format!("Consul went from {from} to {to}"),
            UpgradePhase::TakenBack => format!("Consul goes back from {to} to {from}{because}"),
            UpgradePhase::Unknown => {
                "An upgrade of Consul that this version does not know".to_owned()
            }
        }
    }
}

/// The Consul that all servers are to run, or to go to as soon as they may: the document's, unless they went further by
/// themselves or took it back since it was written.
pub fn in_force<'a>(
    document: &'a ClusterDocument,
    upgrade: Option<&'a Upgrade>,
) -> &'a ConsulArtifact {
    let declared = &document.consul;
    let Some((upgrade, decided)) = upgrade.and_then(|one| Some((one, one.decided()?))) else {
        return declared;
    };
    if upgrade.refuses(document) || decided.version > declared.version { decided } else { declared }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assumed::assumed;
    use crate::releases::versions;
    use crate::spec::ClusterSpec;

    fn artifact(version: &str) -> ConsulArtifact {
        ConsulArtifact {
            version: version.parse().unwrap(),
            sha256: version.to_owned(),
            file_name: "consul.zip".to_owned(),
        }
    }

    fn document(version: &str, generation: u64) -> ClusterDocument {
        let spec = ClusterSpec::new("s", "demo", "rg", "westeurope");
        let document = assumed(&spec).document.unwrap();
        let (consul, consul_declared_at) = (artifact(version), generation);
        ClusterDocument { consul, generation: 9, consul_declared_at, ..document }
    }

    fn upgrade(from: &str, to: &str, phase: UpgradePhase) -> Upgrade {
        Upgrade {
            id: "1".to_owned(),
            from: artifact(from),
            to: artifact(to),
            by: By::Channel,
            phase,
            generation: 4,
            since: "2026-11-28T10:00:00Z".to_owned(),
            reason: None,
            snapshot: None,
            not_before: None,
            has_led: false,
            taken_back_for: None,
            refused: vec![],
            unknown: BTreeMap::new(),
        }
    }

    /// By hand: document and its generation, note, what is in force.
    #[test]
    fn what_runs_follows_from_document_and_note() {
        let rows = [
            ("1.22.6", 4, None, "1.22.6"),
            ("1.22.6", 4, Some(("1.22.6", "1.22.7", UpgradePhase::Chosen)), "1.22.6"),
            ("1.22.6", 4, Some(("1.22.6", "1.22.7", UpgradePhase::Running)), "1.22.7"),
            ("1.22.6", 4, Some(("1.22.6", "1.22.7", UpgradePhase::Stopped)), "1.22.7"),
            ("1.22.6", 9, Some(("1.22.6", "1.22.7", UpgradePhase::Done)), "1.22.7"),
            ("1.22.6", 4, Some(("1.22.6", "1.22.7", UpgradePhase::TakenBack)), "1.22.6"),
            // The second way by itself: the document knows neither.
            ("1.22.5", 4, Some(("1.22.6", "1.22.7", UpgradePhase::Chosen)), "1.22.6"),
            ("1.22.5", 4, Some(("1.22.6", "1.22.7", UpgradePhase::TakenBack)), "1.22.6"),
            // A declaration goes further.
            ("2.0.3", 5, Some(("1.22.6", "1.22.7", UpgradePhase::Done)), "2.0.3"),
            // What was declared is taken back, until it is declared again.
            ("1.22.7", 4, Some(("1.22.6", "1.22.7", UpgradePhase::TakenBack)), "1.22.6"),
            ("1.22.7", 5, Some(("1.22.6", "1.22.7", UpgradePhase::TakenBack)), "1.22.7"),
            // An apply wrote down what the servers chose.
            ("1.22.7", 5, Some(("1.22.6", "1.22.7", UpgradePhase::Running)), "1.22.7"),
            ("1.22.6", 4, Some(("1.22.6", "1.22.7", UpgradePhase::Unknown)), "1.22.6"),
        ];
        for (declared, generation, note, expected) in rows {
            let document = document(declared, generation);
            let note = note.map(|(from, to, phase)| upgrade(from, to, phase));
            let found = in_force(&document, note.as_ref());
            assert_eq!(found.version.to_string(), expected, "{declared} {note:?}");
        }
    }

    /// An apply wrote down what was taken back afterwards, and the servers have gone on since.
    #[test]
    fn what_was_taken_back_stays_so_through_later_ways() {
        let back = upgrade("1.22.5", "1.22.6", UpgradePhase::TakenBack);
        let refused = back.refusals();
        assert_eq!(refused.len(), 1);
        for (phase, declared, generation, expected) in [
            (UpgradePhase::Chosen, "1.22.6", 4, "1.22.5"),
            (UpgradePhase::TakenBack, "1.22.6", 4, "1.22.5"),
            (UpgradePhase::Running, "1.22.6", 4, "1.22.7"),
            (UpgradePhase::Chosen, "1.22.6", 5, "1.22.6"),
        ] {
            let refused = refused.clone();
            let later = Upgrade { refused, ..upgrade("1.22.5", "1.22.7", phase) };
            let found = in_force(&document(declared, generation), Some(&later)).version.to_string();
            assert_eq!(found, expected, "{phase:?} {declared} {generation}");
            assert!(later.has_refused(&Version::new(1, 22, 6)));
        }
        let twice = Upgrade { refused, ..upgrade("1.22.5", "1.22.7", UpgradePhase::TakenBack) };
        assert_eq!(twice.refusals().len(), 2);
    }

    #[test]
    fn each_channel_goes_to_the_newest_sound_release_that_it_allows() {
        let offered: Vec<Version> = versions()
            .into_iter()
            .chain(
                ["1.10.12", "1.22.99+ent", "1.22.98-rc1", "9.1.0"]
                    .map(|text| text.parse().unwrap()),
            )
            .collect();
        let next = |channel: Channel, from: &str| {
            let from = from.parse().unwrap();
            channel.next(&from, &offered, |_| false).map(ToString::to_string)
        };
        let rows = [
            (Channel::None, "1.22.2", None),
            (Channel::Unknown, "1.22.2", None),
            (Channel::Patch, "1.22.2", Some("1.22.7")),
            (Channel::Patch, "1.22.7", None),
            (Channel::Minor, "1.22.7", None),
            (Channel::Major, "1.22.7", Some("2.0.3")),
            // The way out of the oldest series is prescribed.
            (Channel::Minor, "1.8.7", Some("1.10.12")),
            (Channel::Patch, "2.0.3", None),
        ];
        for (channel, from, expected) in rows {
            assert_eq!(next(channel, from).as_deref(), expected, "{channel:?} from {from}");
        }
        let from = Version::new(1, 20, 2);
        let frozen = |work| work == Work::NewSeries;
        let fixes = Channel::Major.next(&from, &offered, frozen);
        assert_eq!(
            fixes.map(|to| to.minor),
            Some(20),
            "fixes come while other series are excluded"
        );
        let far = Channel::Minor.next(&from, &offered, |_| false).unwrap();
        assert_eq!(*far, Version::new(1, 22, 7), "two series at a time");
    }

    /// Whatever is offered, a step is one that Consul goes, and the channel allows.
    #[test]
    fn no_channel_leaves_what_consul_allows() {
        let all = versions();
        for from in &all {
            for (word, channel) in Channel::WORDS {
                let Some(to) = channel.next(from, &all, |_| false) else { continue };
                assert!(to > from && check_upgrade(from, to).is_ok(), "{word}: {from} -> {to}");
                assert!(word == "major" || to.major == from.major, "{word}: {from} -> {to}");
                assert!(word != "patch" || to.minor == from.minor, "{word}: {from} -> {to}");
            }
        }
    }

    #[test]
    fn what_a_newer_version_notes_stays() {
        let text = serde_json::json!({
            "id": "1", "from": artifact("1.22.6"), "to": artifact("1.22.7"), "by": "moon",
            "phase": "rehearsing", "generation": 1, "since": "x", "tide": 3
        });
        let read: Upgrade = serde_json::from_value(text).unwrap();
        assert_eq!((read.by, read.phase), (By::Unknown, UpgradePhase::Unknown));
        assert_eq!(serde_json::to_value(&read).unwrap()["tide"], 3);
    }
}
