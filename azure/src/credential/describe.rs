//! Turns the SDK's error for a failed token request into one line for people.

use azure_core::error::ErrorKind;
use azure_core::http::RawResponse;
use serde_json::Value;

use crate::http::parse_json;
use crate::transport::{NoAnswer, chain};

/// Entra's error numbers whose mend is one setting.
const MENDS: [(&str, &str); 7] = [
    ("AADSTS700016", "client_id"),
    ("AADSTS7000215", "client_secret"),
    ("AADSTS7000222", "client_secret"),
    ("AADSTS90002", "tenant_id"),
    ("AADSTS900023", "tenant_id"),
    ("AADSTS700027", "client_certificate_path"),
    ("AADSTS50034", "client_id"),
];

/// An assertion that is out of its time.
const OUT_OF_TIME: &str = "AADSTS700024";

/// The reason, and the attribute to mend when Entra's number tells it.
pub(super) fn failure(
    error: &azure_core::Error,
    authority: &str,
    is_federated: bool,
) -> (String, Option<&'static str>) {
    let causes = chain(error);
    let azure = || causes.iter().filter_map(|cause| cause.downcast_ref::<azure_core::Error>());
    let response = azure().find_map(|cause| match cause.kind() {
        ErrorKind::HttpResponse { raw_response, .. } => raw_response.as_deref(),
        _ => None,
    });
    if let Some(response) = response {
        return refusal(response, is_federated);
    }
    if causes.iter().any(|cause| cause.is::<reqwest::Error>()) {
        return (NoAnswer::of(error, authority).to_string(), None);
    }
    if azure().any(|cause| matches!(cause.kind(), ErrorKind::DataConversion)) {
        let deepest = causes.last().map(ToString::to_string).unwrap_or_default();
        return (format!("the answer is no token response: {deepest}"), None);
    }
    (without_frame(&error.to_string()), None)
}

/// `401 invalid_client AADSTS7000215: ...`, without Entra's trace ids.
fn refusal(response: &RawResponse, is_federated: bool) -> (String, Option<&'static str>) {
    let status = u16::from(response.status());
    let json = parse_json(response.body().as_ref()).unwrap_or_default();
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (code, description) = (text("error"), text("error_description"));
    let description = description.split("Trace ID:").next().unwrap_or_default().trim();
    let says = |number: &str| {
        let rest = description.strip_prefix(number);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let mend = MENDS.iter().find(|(number, _)| says(number)).map(|(_, attribute)| *attribute);
    // A federated token lives for minutes, and one that was handed over is not made anew; a certificate signs an
    // assertion of its own each time.
    let (more, mend) = match (says(OUT_OF_TIME), is_federated) {
        (false, _) => ("", mend),
        (true, true) => (
            " The federated token is spent. Hand over a file that is kept fresh (oidc_token_file_path) or the URL that \
             makes new ones (oidc_request_url), or begin the job anew.",
            Some("oidc_token_file_path"),
        ),
        (true, false) => (" Check the clock of this machine.", None),
    };
    (format!("{status} {code} {description}{more}"), mend)
}

/// Takes off what the SDK wraps around a message.
fn without_frame(text: &str) -> String {
    let text = text.split("\nTo troubleshoot").next().unwrap_or(text);
    let text = text.split_once("authentication failed.").map_or(text, |(_, reason)| reason);
    text.trim().trim_start_matches("ERROR: ").to_owned()
}

#[cfg(test)]
mod tests {
    use azure_core::Error;
    use azure_core::http::StatusCode;
    use azure_core::http::headers::Headers;

    use super::*;

    fn refused(body: &'static str) -> (String, Option<&'static str>) {
        refused_as(body, true)
    }

    fn refused_as(body: &'static str, is_federated: bool) -> (String, Option<&'static str>) {
        let response = RawResponse::from_bytes(StatusCode::Unauthorized, Headers::new(), body);
        let kind = ErrorKind::HttpResponse {
            status: StatusCode::Unauthorized,
            error_code: None,
            raw_response: Some(Box::new(response)),
        };
        let inner = Error::with_message(kind, "inner");
        failure(&Error::with_error(ErrorKind::Credential, inner, "outer"), "login", is_federated)
    }

    #[test]
    fn entra_refusals_keep_status_code_and_number_and_name_the_mend() {
        let (text, attribute) = refused(
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Trace ID: 1 Correlation ID: 2"}"#,
        );
        assert_eq!(text, "401 invalid_client AADSTS7000215: Invalid client secret provided.");
        assert_eq!(attribute, Some("client_secret"));
        let (_, attribute) = refused(r#"{"error_description":"AADSTS90002: Tenant not found."}"#);
        assert_eq!(attribute, Some("tenant_id"));
        let (_, attribute) = refused(r#"{"error_description":"AADSTS900021: other."}"#);
        assert_eq!(attribute, None, "a longer number is another one");
    }

    #[test]
    fn a_spent_federated_token_is_named_with_what_makes_new_ones() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS700024: Client assertion is not within its valid time range. Trace ID: 1"}"#;
        let (text, attribute) = refused_as(body, false);
        assert!(text.contains("the clock") && !text.contains("is spent"), "{text}");
        assert_eq!(attribute, None, "a certificate is not handed over again");
        let (text, attribute) = refused(body);
        assert!(text.contains("is spent") && text.contains("oidc_request_url"), "{text}");
        assert_eq!(attribute, Some("oidc_token_file_path"));
    }

    #[test]
    fn a_refusal_in_another_form_keeps_its_status() {
        let (text, attribute) = refused("<html>");
        assert_eq!((text.trim(), attribute), ("401", None));
    }

    #[test]
    fn the_words_of_the_cli_lose_their_frame() {
        let text = "AzureCliCredential authentication failed. ERROR: Please run 'az login'.\n\nTo troubleshoot, visit x";
        let error = Error::with_message(ErrorKind::Credential, text);
        assert_eq!(failure(&error, "login", false), ("Please run 'az login'.".to_owned(), None));
    }
}
