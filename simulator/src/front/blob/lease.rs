//! Lease Blob: acquire, renew, change, release, break.

use super::errors::{BAD_HEADER, BlobError, error};
use super::meta::{Headers, Lease, LeaseState};
use crate::front::wire::{self, Reply};

/// Carries out one lease operation on a lease.
pub(crate) fn run(lease: &mut Lease, headers: &Headers, now_ms: u64) -> Result<Reply, BlobError> {
    let action = headers.get("x-ms-lease-action").map(|a| a.to_ascii_lowercase());
    let given = headers.get("x-ms-lease-id").cloned();
    let proposed = headers.get("x-ms-proposed-lease-id").cloned();
    for id in [&given, &proposed].into_iter().flatten() {
        uuid::Uuid::parse_str(id).map_err(|_| BAD_HEADER)?;
    }
    let state = lease.state(now_ms);
    let own = |lease: &Lease| {
        let same = lease.id.as_ref().zip(given.as_ref());
        same.is_some_and(|(id, given)| id.eq_ignore_ascii_case(given))
    };
    let mismatch = error(
        409,
        "LeaseIdMismatchWithLeaseOperation",
        "The lease ID specified did not match the lease ID for the blob.",
    );
    let absent =
        error(409, "LeaseNotPresentWithLeaseOperation", "There is currently no lease on the blob.");
    let reply = |status: u16, id: &Option<String>| {
        let mut reply = wire::reply(status, "", "");
        if let Some(id) = id {
            wire::set(&mut reply, "x-ms-lease-id", id);
        }
        reply
    };
    match action.as_deref() {
        Some("acquire") => {
            acquire(lease, headers, proposed, state, now_ms)?;
            Ok(reply(201, &lease.id))
        }
        Some("renew") => {
            if !own(lease) {
                return Err(if lease.id.is_none() { absent } else { mismatch });
            }
            if matches!(state, LeaseState::Breaking | LeaseState::Broken) {
                return Err(error(
                    409,
                    "LeaseIsBrokenAndCannotBeRenewed",
                    "The lease ID matched, but the lease has been broken explicitly and cannot be \
                     renewed.",
                ));
            }
            lease.expires_ms = u64::try_from(lease.duration_s).ok().map(|s| now_ms + s * 1000);
            Ok(reply(200, &lease.id))
        }
        Some("change") => {
            let proposed = proposed.ok_or(BAD_HEADER)?;
            if !own(lease) && lease.id.as_ref() != Some(&proposed) {
                return Err(if lease.id.is_none() { absent } else { mismatch });
            }
            if state != LeaseState::Leased {
                return Err(absent);
            }
            lease.id = Some(proposed);
            Ok(reply(200, &lease.id))
        }
        Some("release") => {
            if !own(lease) {
                return Err(if lease.id.is_none() { absent } else { mismatch });
            }
            *lease = Lease::default();
            Ok(reply(200, &None))
        }
        Some("break") => {
            if lease.id.is_none() {
                return Err(absent);
            }
            let wait_s = break_wait_s(lease, headers, state, now_ms)?;
            lease.breaks_ms = Some(now_ms + wait_s * 1000);
            let mut reply = reply(202, &None);
            wire::set(&mut reply, "x-ms-lease-time", &wait_s.to_string());
            Ok(reply)
        }
        _ => Err(BAD_HEADER),
    }
}

fn acquire(
    lease: &mut Lease,
    headers: &Headers,
    proposed: Option<String>,
    state: LeaseState,
    now_ms: u64,
) -> Result<(), BlobError> {
    let duration: i64 = headers
        .get("x-ms-lease-duration")
        .and_then(|d| d.parse().ok())
        .filter(|d| *d == -1 || (15..=60).contains(d))
        .ok_or(BAD_HEADER)?;
    let again = lease.id.is_some() && lease.id == proposed;
    if state == LeaseState::Leased && !again {
        return Err(error(409, "LeaseAlreadyPresent", "There is already a lease present."));
    }
    if state == LeaseState::Breaking {
        return Err(error(
            409,
            "LeaseIsBreakingAndCannotBeAcquired",
            "The lease ID matched, but the lease is currently in breaking state and cannot be \
             acquired until it is broken.",
        ));
    }
    *lease = Lease {
        id: Some(proposed.unwrap_or_else(|| uuid::Uuid::new_v4().to_string())),
        duration_s: duration,
        expires_ms: u64::try_from(duration).ok().map(|s| now_ms + s * 1000),
        breaks_ms: None,
    };
    Ok(())
}

/// Seconds until a lease that is broken now is free.
fn break_wait_s(
    lease: &Lease,
    headers: &Headers,
    state: LeaseState,
    now_ms: u64,
) -> Result<u64, BlobError> {
    let left_s = match (state, lease.expires_ms, lease.breaks_ms) {
        (LeaseState::Leased, Some(at), _) | (LeaseState::Breaking, _, Some(at)) => {
            at.saturating_sub(now_ms).div_ceil(1000)
        }
        _ => 0,
    };
    let period_s = match headers.get("x-ms-lease-break-period") {
        Some(text) => text.parse::<u64>().map_err(|_| BAD_HEADER)?,
        None => left_s,
    };
    let infinite = lease.duration_s < 0 && state == LeaseState::Leased;
    Ok(if infinite { period_s } else { period_s.min(left_s) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_second_holder_waits_until_the_lease_expires() {
        let mut lease = Lease::default();
        let acquire = headers(&[("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "15")]);
        assert_eq!(run(&mut lease, &acquire, 0).unwrap().status(), 201);
        assert_eq!(run(&mut lease, &acquire, 14_999).unwrap_err().code, "LeaseAlreadyPresent");
        assert_eq!(lease.check_write(&Headers::new(), 1).unwrap_err().code, "LeaseIdMissing");
        assert!(lease.check_write(&Headers::new(), 15_000).is_ok());
        assert_eq!(run(&mut lease, &acquire, 15_000).unwrap().status(), 201);
    }

    #[test]
    fn a_broken_lease_cannot_be_renewed() {
        let mut lease = Lease::default();
        let acquire = headers(&[("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")]);
        run(&mut lease, &acquire, 0).unwrap();
        let id = lease.id.clone().unwrap();
        let broken = run(&mut lease, &headers(&[("x-ms-lease-action", "break")]), 10).unwrap();
        assert_eq!(broken.headers()["x-ms-lease-time"], "0");
        let renew = headers(&[("x-ms-lease-action", "renew"), ("x-ms-lease-id", &id)]);
        let refusal = run(&mut lease, &renew, 20).unwrap_err();
        assert_eq!(refusal.code, "LeaseIsBrokenAndCannotBeRenewed");
    }
}
