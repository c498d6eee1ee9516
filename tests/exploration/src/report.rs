//! Counts of cases, by scenario and family of fault.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use hcs_simulator::{CallFault, Family};

use crate::case::Verdict;
use crate::run::End;

/// One cell of the table.
#[derive(Default)]
pub struct Cell {
    /// Cases.
    pub runs: usize,
    /// Cases whose calls, faults and answers no other case had.
    pub distinct: HashSet<u64>,
    /// Estates that the struck runs left.
    pub left: BTreeSet<u64>,
    /// How the struck runs ended: at their end, with an error, stopped, killed.
    pub ends: [usize; 4],
}

/// What is known so far.
#[derive(Default)]
pub struct Report {
    cells: BTreeMap<(String, Family), Cell>,
    by_fault: BTreeMap<CallFault, Cell>,
    /// What is wrong, by case.
    pub wrong: Vec<String>,
}

impl Report {
    /// Adds a case of one fault.
    pub fn add(&mut self, scenario: &str, fault: CallFault, case: &str, verdict: &Verdict) {
        let cell = self.cells.entry((scenario.to_owned(), fault.family())).or_default();
        for cell in [cell, self.by_fault.entry(fault).or_default()] {
            cell.runs += 1;
            cell.distinct.insert(verdict.trace);
            cell.left.insert(verdict.left);
            let kind = match verdict.end {
                End::Complete => 0,
                End::Failed(_) | End::Hung(_) => 1,
                End::Stopped => 2,
                End::Killed => 3,
            };
            cell.ends[kind] += 1;
        }
        self.wrong.extend(verdict.wrong.iter().map(|wrong| format!("{scenario}, {case}: {wrong}")));
    }

    /// Takes another report in.
    pub fn merge(&mut self, other: Self) {
        for (key, cell) in other.cells {
            self.cells.entry(key).or_default().merge(cell);
        }
        for (fault, cell) in other.by_fault {
            self.by_fault.entry(fault).or_default().merge(cell);
        }
        self.wrong.extend(other.wrong);
    }

    /// All cases.
    pub fn runs(&self) -> usize {
        self.cells.values().map(|cell| cell.runs).sum()
    }

    /// All distinct cases.
    pub fn distinct(&self) -> usize {
        self.cells.values().map(|cell| cell.distinct.len()).sum()
    }

    /// Cells without a case, or where nothing was ever distinct.
    pub fn empty_cells(&self, scenarios: &[&str], families: &[Family]) -> Vec<String> {
        let mut empty = Vec::new();
        for scenario in scenarios {
            for family in families {
                let cell = self.cells.get(&((*scenario).to_owned(), *family));
                if cell.is_none_or(|cell| cell.distinct.is_empty() || cell.left.is_empty()) {
                    empty.push(format!("{scenario} x {family:?}"));
                }
            }
        }
        empty
    }

    /// The tables.
    pub fn print(&self) {
        println!("{:<18}{:<13}{:>8}{:>10}{:>8}", "scenario", "family", "runs", "distinct", "left");
        for ((scenario, family), cell) in &self.cells {
            let family = format!("{family:?}");
            let (distinct, left) = (cell.distinct.len(), cell.left.len());
            println!("{scenario:<18}{family:<13}{:>8}{distinct:>10}{left:>8}", cell.runs);
        }
        println!();
        let head = ["fault", "runs", "done", "error", "stopped", "killed"];
        println!(
            "{:<20}{:>7}{:>8}{:>8}{:>9}{:>8}  what happens",
            head[0], head[1], head[2], head[3], head[4], head[5]
        );
        for (fault, cell) in &self.by_fault {
            let [done, error, stopped, killed] = cell.ends;
            println!(
                "{:<20}{:>7}{done:>8}{error:>8}{stopped:>9}{killed:>8}  {}",
                fault.word(),
                cell.runs,
                fault.story()
            );
        }
    }
}

impl Cell {
    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.distinct.extend(other.distinct);
        self.left.extend(other.left);
        for (own, more) in self.ends.iter_mut().zip(other.ends) {
            *own += more;
        }
    }
}
