//! The table.

use super::{Bug, Test};

const fn found(name: &'static str) -> Test {
    Test { package: "hcs-exploration", of: &["--test", "found"], name }
}

const fn engine(of: &'static [&'static str], name: &'static str) -> Test {
    Test { package: "hcs-engine", of, name }
}

const fn lost(name: &'static str) -> Test {
    Test { package: "hcs-planner", of: &["--test", "it"], name }
}

const fn provider(name: &'static str) -> Test {
    let of = &["--bin", "terraform-provider-hcs"];
    Test { package: "terraform-provider-hcs", of, name }
}

const fn azure(of: &'static [&'static str], name: &'static str) -> Test {
    Test { package: "hcs-azure", of, name }
}

const SAMPLE: Test = Test {
    package: "hcs-exploration",
    of: &["--test", "sample"],
    name: "a_sample_of_every_fault_at_every_kind_of_call_ends_well",
};
const KILLS: Test = Test {
    package: "hcs-exploration",
    of: &["--test", "sample"],
    name: "a_run_that_is_killed_at_any_call_is_finished_by_the_next",
};
const SHAPES: Test = Test {
    package: "hcs-exploration",
    of: &["--test", "expected"],
    name: "a_cluster_of_each_shape_is_what_was_written_down_by_hand",
};

const fn crash(name: &'static str) -> Test {
    Test { package: "hcs-simulator", of: &["--test", "crash"], name }
}

const YEARS: Test =
    Test { package: "hcs-host-manager", of: &["--test", "years"], name: "no_year_breaks_a_law" };

const ARM: &str = "engine/src/arm.rs";
const ARM_READ: &str = "engine/src/arm/read.rs";
const OPERATION: &str = "engine/src/arm/operation.rs";
const LEASE: &str = "engine/src/lease.rs";
const STEPS: &str = "engine/src/execute/steps.rs";

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "each server lives in the first subnet of a zone",
        file: "planner/src/names.rs",
        right: "let own = zone.and_then(|zone| self.zone_subnets.get(zone));",
        wrong: "let own = zone.and_then(|_| self.zone_subnets.values().next());",
        test: &provider(
            "servers_live_in_the_subnet_of_their_zone_and_only_those_of_another_one_are_made_anew",
        ),
    },
    Bug {
        name: "a failed set whose server is silent is taken for one that never lived",
        file: "planner/src/plan/situation.rs",
        right: "if has_failed && !observed.has_spoken(slot, body) {",
        wrong: "if has_failed && !observed.fresh().any(|status| status.slot == slot) {",
        test: &lost(
            "a_failed_set_whose_server_has_spoken_is_never_deleted_unless_the_others_go_on",
        ),
    },
    Bug {
        name: "a server whose set failed belongs elsewhere",
        file: "planner/src/desired.rs",
        right: "if has_failed(have) && !self.observed.has_spoken(slot, have) {",
        wrong: "if has_failed(have) {",
        test: &lost(
            "a_failed_set_whose_server_has_spoken_is_never_deleted_unless_the_others_go_on",
        ),
    },
    Bug {
        name: "an operation that fails each time is begun for ever",
        file: "engine/src/arm/retry.rs",
        right: "error.is_in_progress() && error.status >= 400",
        wrong: "error.is_in_progress()",
        test: &engine(
            &["--test", "it"],
            "an_operation_that_is_accepted_and_fails_each_time_is_not_begun_for_ever",
        ),
    },
    Bug {
        name: "a write does not ask the fence",
        file: ARM,
        right: "            fence.check().await?;\n",
        wrong: "",
        test: &engine(&["--test", "it"], "a_write_has_its_token_before_it_asks_the_fence"),
    },
    Bug {
        name: "a write goes although others were told to wait",
        file: ARM,
        right: "while self.is_held_back(request.method)",
        wrong: "while false && self.is_held_back(request.method)",
        test: &found("every_case_that_ever_failed_passes"),
    },
    Bug {
        name: "what one was told holds nobody else back",
        file: ARM,
        right: "            self.gate.hold_back(request.method, self.clock.monotonic_ms(), wait);\n",
        wrong: "            let _ = wait;\n",
        test: &engine(&["--test", "it"], "one_refusal_holds_back_all_who_share_the_gate"),
    },
    Bug {
        name: "Retry-After is ignored",
        file: "engine/src/error.rs",
        right: "            retry_after: retry_after(response),\n",
        wrong: "            retry_after: None,\n",
        test: &SAMPLE,
    },
    Bug {
        name: "403 is taken for gone",
        file: ARM_READ,
        right: "            Err(EngineError::Arm(error)) if error.status == 404 => Ok(None),\n",
        wrong: "            Err(EngineError::Arm(error)) if error.status == 404 || error.status == 403 => Ok(None),\n",
        test: &engine(&["--test", "it"], "a_refusal_is_not_taken_for_gone"),
    },
    Bug {
        name: "one 404 to a delete is believed",
        file: ARM,
        right: "if error.status == 404 && self.get(id, kind).await?.is_none() =>",
        wrong: "if error.status == 404 =>",
        test: &found("a_404_to_a_delete_is_not_believed"),
    },
    Bug {
        name: "one look says that a group is gone",
        file: ARM_READ,
        right: "            if !is_listed().await? {\n                return Ok(None);\n            }\n",
        wrong: "            let _ = &is_listed;\n            if true {\n                return Ok(None);\n            }\n",
        test: &engine(&["--test", "it"], "a_group_is_gone_when_two_different_reads_say_so"),
    },
    Bug {
        name: "the incarnation of a group is not compared before its delete",
        file: ARM,
        right: "                Some(group) if incarnation(&group) == incarnation_id => {",
        wrong: "                Some(_) if incarnation_id.is_some() || incarnation_id.is_none() => {",
        test: &engine(
            &["--test", "it"],
            "a_group_that_took_the_place_of_the_one_that_is_meant_is_not_deleted",
        ),
    },
    Bug {
        name: "only the first page of a list is read",
        file: ARM_READ,
        right: "                Some(link) if links.len() < PAGES_MAX && links.insert(link.to_owned()) => {",
        wrong: "                Some(link) if links.len() > PAGES_MAX && links.insert(link.to_owned()) => {",
        test: &engine(&["--test", "it"], "every_page_of_a_list_is_read"),
    },
    Bug {
        name: "a list that breaks off is a list",
        file: ARM_READ,
        right: "if error.status == 404 && links.is_empty() => {",
        wrong: "if error.status == 404 => {",
        test: &engine(&["--test", "it"], "a_list_that_breaks_off_or_leads_in_a_circle_is_no_list"),
    },
    Bug {
        name: "200 with an error in the body is a success",
        file: ARM,
        right: "    (200..300).contains(&response.status) && !is_error\n",
        wrong: "    (200..300).contains(&response.status) && (!is_error || is_error)\n",
        test: &engine(&["--test", "it"], "a_success_with_an_error_in_it_is_none"),
    },
    Bug {
        name: "a write without an answer is sent again at once",
        file: ARM,
        right: "            Some(body) if operation::is_running(&body) => self.await_provisioned(id, kind).await,\n",
        wrong: "",
        test: &engine(&["--test", "it"], "what_runs_is_waited_for_before_it_is_asked_for_again"),
    },
    Bug {
        name: "an operation on the same object is waited for ten minutes only",
        file: "engine/src/error.rs",
        right: "        IN_PROGRESS.iter().any(|code| self.is(code))\n",
        wrong: "        IN_PROGRESS.iter().any(|code| self.is(code)) && self.status == 0\n",
        test: &engine(
            &["--test", "it"],
            "an_operation_that_somebody_began_is_waited_for_like_ones_own",
        ),
    },
    Bug {
        name: "an unknown word is a success",
        file: OPERATION,
        right: "        _ => Word::Running,\n",
        wrong: "        _ => Word::Succeeded,\n",
        test: &engine(&["--test", "it"], "an_operation_has_a_deadline_and_one_last_look_after_it"),
    },
    Bug {
        name: "Cancelled with two l is waited for",
        file: OPERATION,
        right: "\"failed\" | \"canceled\" | \"cancelled\" => Word::Failed,",
        wrong: "\"failed\" | \"canceled\" => Word::Failed,",
        test: &found("a_cancelled_operation_costs_no_hour"),
    },
    Bug {
        name: "a status that nobody knows means that the object is gone",
        file: OPERATION,
        right: "                        (Method::Delete, _) => {\n                            handle = Handle::Object;\n                            not_found = 0;\n                        }\n",
        wrong: "                        (Method::Delete, _) => return Ok(()),\n",
        test: &engine(
            &["--test", "it"],
            "a_poll_address_that_nobody_knows_does_not_mean_that_the_object_is_gone",
        ),
    },
    Bug {
        name: "an old answer for a set that was made anew is taken",
        file: OPERATION,
        right: "body.filter(|body| made.is_none() || unique(body) == made)",
        wrong: "body.filter(|body| made.is_none() || unique(body).is_some())",
        test: &found("what_a_scale_set_was_before_is_not_taken_for_what_it_is"),
    },
    Bug {
        name: "the etag of what was looked at is dropped",
        file: "engine/src/execute/update.rs",
        right: "self.arm.put_where(id, kind, body.clone(), Some(etag)).await",
        wrong: "self.arm.put_where(id, kind, body.clone(), Some(etag).filter(|_| false)).await",
        test: &found("a_tag_that_somebody_adds_right_before_a_write_stays"),
    },
    Bug {
        name: "what has no etag is written without another look",
        file: "engine/src/execute/update.rs",
        right: "            if !is_same_to_write(kind, &seen, &now) {\n",
        wrong: "            if false && !is_same_to_write(kind, &seen, &now) {\n",
        test: &crash("a_tag_that_somebody_adds_meanwhile_stays"),
    },
    Bug {
        name: "a secret is written over the one that is there",
        file: "engine/src/secrets.rs",
        right: "self.store.put(container, name, bytes.clone(), WriteCondition::Absent).await",
        wrong: "self.store.put(container, name, bytes.clone(), WriteCondition::Always).await",
        test: &KILLS,
    },
    Bug {
        name: "the key that nobody holds is another one at each try",
        file: "engine/src/secrets.rs",
        right: "format!(\"hcs: nobody logs in to {}\", cluster_id.to_lowercase())",
        wrong: "format!(\"hcs: nobody logs in to {} {:?}\", cluster_id.to_lowercase(), std::time::Instant::now())",
        test: &found("a_server_whose_set_failed_is_made_again_with_the_same_key"),
    },
    Bug {
        name: "nobody waits until a server has left",
        file: STEPS,
        right: "        self.wait_healthy(&goal, LEAVE_MINUTES_MAX).await?;\n",
        wrong: "        let _ = (goal, LEAVE_MINUTES_MAX);\n",
        test: &KILLS,
    },
    Bug {
        name: "nobody waits until all are healthy",
        file: STEPS,
        right: "                self.wait_healthy(&goal, HEALTHY_MINUTES_MAX).await?;\n",
        wrong: "                let _ = (goal, HEALTHY_MINUTES_MAX);\n",
        test: &KILLS,
    },
    Bug {
        name: "old news of a server that restarts count",
        file: STEPS,
        right: "goal.missing(&statuses).or_else(|| old_news(&before, &statuses))",
        wrong: "goal.missing(&statuses).or_else(|| old_news(&before, &statuses).filter(|_| false))",
        test: &KILLS,
    },
    Bug {
        name: "a request to leave is never taken back",
        file: STEPS,
        right: "        store.delete(container::REQUESTS, &name).await?;\n        Ok(())\n",
        wrong: "        Ok(())\n",
        test: &KILLS,
    },
    Bug {
        name: "a stored document is written over whoever wrote it",
        file: STEPS,
        right: "known.map_or(WriteCondition::Absent, WriteCondition::Matches)",
        wrong: "known.map_or(WriteCondition::Always, |_| WriteCondition::Always)",
        test: &crash("a_document_that_somebody_wrote_meanwhile_is_not_written_over"),
    },
    Bug {
        name: "a run that beats is taken for dead",
        file: LEASE,
        right: "                age < Duration::from_secs(RUN_DEAD_AFTER_SECONDS)\n",
        wrong: "                age < Duration::from_secs(RUN_DEAD_AFTER_SECONDS / 30)\n",
        test: &engine(&["--test", "it"], "a_run_that_beats_is_waited_for_a_moment_and_named"),
    },
    Bug {
        name: "a machine that slept trusts what it knew",
        file: "engine/src/clock.rs",
        right: "monotonic_ms.max(now.unix_ms.saturating_sub(self.unix_ms))",
        wrong: "monotonic_ms.max(now.unix_ms.saturating_sub(self.unix_ms).min(0))",
        test: &engine(&["--test", "it"], "a_machine_that_slept_asks_before_its_next_write"),
    },
    Bug {
        name: "the record is written whatever is there",
        file: LEASE,
        right: "        let condition = WriteCondition::Matches(held.etag.clone());\n",
        wrong: "        let condition = WriteCondition::Always;\n",
        test: &engine(&["--test", "it"], "whoever_lost_the_lease_writes_nothing_more"),
    },
    Bug {
        name: "what the lists leave out is believed to be absent",
        file: "engine/src/reconcile/apply.rs",
        right: "            observe::confirm_absences(&self.arm, self.spec, &mut observed).await?;\n",
        wrong: "",
        test: &crash("a_list_that_names_nothing_is_not_believed"),
    },
    Bug {
        name: "a container that is not seen is empty",
        file: "engine/src/observe.rs",
        right: "            if observed.object(&names.container(container::CONFIG)).is_none() =>",
        wrong: "            if true =>",
        test: &found("a_container_that_is_not_seen_hides_nothing"),
    },
    Bug {
        name: "a state of another incarnation changes the cluster",
        file: "planner/src/ownership.rs",
        right: "        Claim::Update(Some(own)) | Claim::Destroy(Some(own)) if *own != record.incarnation_id => {",
        wrong: "        Claim::Update(Some(own)) | Claim::Destroy(Some(own)) if *own != record.incarnation_id && record.beats == u64::MAX => {",
        test: &Test { package: "hcs-planner", of: &["--lib"], name: "who_meets_what_does_what" },
    },
    Bug {
        name: "a failed account is not part of the foundation",
        file: "planner/src/plan/foundation.rs",
        right: "                        || differences.iter().any(is_failure)\n",
        wrong: "                        || differences.iter().any(|one| is_failure(one) && false)\n",
        test: &found("a_storage_account_that_failed_while_it_was_made_is_made_again"),
    },
    Bug {
        name: "who left is named for ever",
        file: "planner/src/plan/build/data.rs",
        right: "        if document.others.is_empty() {\n",
        wrong: "        if document.others.is_empty() || true {\n",
        test: &KILLS,
    },
    Bug {
        name: "a port with two digits turned",
        file: "planner/src/dataplane.rs",
        right: "pub const GOSSIP: u16 = 8301;",
        wrong: "pub const GOSSIP: u16 = 8031;",
        test: &SHAPES,
    },
    Bug {
        name: "all servers in one zone",
        file: "planner/src/placement.rs",
        right: "    zones.get((slot % count) as usize).map(String::as_str)\n",
        wrong: "    zones.get((slot % count / 7) as usize).map(String::as_str)\n",
        test: &SHAPES,
    },
    Bug {
        name: "a protected cluster is destroyed",
        file: "provider/src/cluster/plan.rs",
        right: "    prior.get(Cluster::DELETION_PROTECTION).as_bool() == Some(true)\n",
        wrong: "    prior.get(Cluster::DELETION_PROTECTION).as_bool() == Some(true) && false\n",
        test: &provider("a_protected_cluster_is_not_planned_away"),
    },
    Bug {
        name: "a destroy leg forgets what it is part of",
        file: "provider/src/leg.rs",
        right: "    if fixed.iter().all(is_same) { Leg::BeforeSame } else { Leg::BeforeOther }\n",
        wrong: "    let _ = fixed.iter().all(is_same);\n    Leg::Plain\n",
        test: &provider("a_failed_create_is_gone_on_with_and_nothing_of_it_is_deleted"),
    },
    Bug {
        name: "a policy that a state holds is taken by another",
        file: "provider/src/policy/store.rs",
        right: "                Some((found, etag)) if !found.is_held => {",
        wrong: "                Some((found, etag)) if !found.is_held || found.is_held => {",
        test: &provider("a_policy_that_a_state_holds_is_nobody_elses"),
    },
    Bug {
        name: "a token goes to whatever host ARM names",
        file: "azure/src/arm.rs",
        right: "        if clean && url.scheme() == \"https\" && url.origin() == self.endpoint.origin() {",
        wrong: "        if clean && url.scheme() == \"https\" {",
        test: &azure(&["--test", "it"], "urls_off_the_arm_host_get_no_request_and_no_token"),
    },
    Bug {
        name: "a token is used until it has expired",
        file: "azure/src/token.rs",
        right: "const REFRESH_BEFORE: Duration = Duration::minutes(5);",
        wrong: "const REFRESH_BEFORE: Duration = Duration::minutes(0);",
        test: &azure(
            &["--lib"],
            "renewal_is_five_minutes_early_and_earlier_halves_for_short_lives",
        ),
    },
    Bug {
        name: "a server that reboots starts the release whose turn has not come",
        file: "host-manager/src/upgrade/turn.rs",
        right: "        if waits || !self.is_active { ran } else { wanted }\n",
        wrong: "        if waits { ran } else { wanted }\n",
        test: &YEARS,
    },
    Bug {
        name: "what was taken back is forgotten with the next release",
        file: "planner/src/upgrade.rs",
        right: "self.refused.iter().cloned().chain(own).collect();",
        wrong: "own.into_iter().collect();",
        test: &YEARS,
    },
    Bug {
        name: "an apply that writes down what runs declares what was taken back",
        file: "planner/src/upgrade.rs",
        right: "document.consul_declared_at <= refused.generation",
        wrong: "document.generation <= refused.generation",
        test: &Test {
            package: "hcs-planner",
            of: &["--lib"],
            name: "what_was_taken_back_stays_so_through_later_ways",
        },
    },
    Bug {
        name: "the leader is restarted for a release before the others",
        file: "host-manager/src/rollout.rs",
        right: "    if own.is_leader && !is_same_consul(&own.version, wanted)",
        wrong: "    if !own.is_leader && !is_same_consul(&own.version, wanted)",
        test: &YEARS,
    },
];
