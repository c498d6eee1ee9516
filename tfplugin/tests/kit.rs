//! The kit for authors: a client inside the test finds what Terraform would find.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use tfplugin::oracle::Rule;
use tfplugin::testing::Client;
use tfplugin::*;

/// What goes wrong in a shelf.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    ForgetsTheName,
    NewIdEachTime,
    PlansAgainstTheConfiguration,
    LosesAtUpgrade,
}

struct Shelf {
    fault: Fault,
    secrets: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Resource for Shelf {
    fn type_name(&self) -> &'static str {
        "kit_shelf"
    }

    fn schema(&self) -> Schema {
        Schema::new(1)
            .attribute(Attribute::string("name").required())
            .attribute(Attribute::string("pin").optional().write_only())
            .attribute(Attribute::string("id").computed().keeps_prior())
    }

    async fn plan(&self, _: &Context, mut request: PlanRequest) -> PlanResponse {
        if self.fault == Fault::PlansAgainstTheConfiguration && !request.is_destroy() {
            request.proposed = request.proposed.with("name", "mine");
            return PlanResponse::new(request.proposed);
        }
        plan::by_schema(&self.schema(), request)
    }

    async fn apply(&self, _: &Context, request: ApplyRequest) -> ApplyResponse {
        if let Some(pin) = request.config.get("pin").as_str() {
            self.secrets.lock().unwrap().push(pin.to_owned());
        }
        let private = Some(b"kept".to_vec());
        let state = match self.fault {
            _ if request.is_destroy() => Value::Null,
            Fault::ForgetsTheName => request.planned.with("name", "").with("id", "1"),
            _ => request.planned.with("id", "1"),
        };
        ApplyResponse { private, ..ApplyResponse::new(state) }
    }

    async fn read(&self, _: &Context, request: ReadRequest) -> ReadResponse {
        assert_eq!(request.private, b"kept");
        let state = request.state;
        ReadResponse::new(match self.fault {
            Fault::NewIdEachTime => state.with("id", Value::unknown()),
            _ => state,
        })
    }

    async fn upgrade(&self, ctx: &Context, request: UpgradeRequest) -> UpgradeResponse {
        let _ = ctx;
        let raw = request.raw.decode_untyped().unwrap();
        let (name, id) = (raw.get("name").clone(), raw.get("id").clone());
        let id = if self.fault == Fault::LosesAtUpgrade { Value::Null } else { id };
        UpgradeResponse::new(Value::object([("name", name), ("pin", Value::Null), ("id", id)]))
    }
}

struct Count;

#[async_trait]
impl DataSource for Count {
    fn type_name(&self) -> &'static str {
        "kit_count"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .attribute(Attribute::string("of").required())
            .attribute(Attribute::number("letters").computed())
    }

    async fn read(&self, ctx: &Context, config: Value) -> DataResponse {
        let extra = match ctx.data::<i64>() {
            Ok(extra) => *extra,
            Err(diagnostics) => return DataResponse::failed(diagnostics),
        };
        let letters = i64::try_from(config.get("of").as_str().unwrap_or_default().len()).unwrap();
        DataResponse::new(config.with("letters", letters + extra))
    }
}

struct Twice;

impl Function for Twice {
    fn name(&self) -> &'static str {
        "twice"
    }

    fn signature(&self) -> Signature {
        Signature::new(Type::String).parameter(Parameter::new("text", Type::String))
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        match arguments[0].as_str() {
            Some("") | None => Err(FunctionError::new("there is nothing to say twice").at(0)),
            Some(text) => Ok(Value::from(format!("{text}{text}"))),
        }
    }
}

struct Kit {
    fault: Fault,
    secrets: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Provider for Kit {
    fn schema(&self) -> Schema {
        Schema::new(0).attribute(Attribute::number("extra").optional())
    }

    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![Arc::new(Shelf { fault: self.fault, secrets: Arc::clone(&self.secrets) })]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        vec![Arc::new(Count)]
    }

    fn functions(&self) -> Vec<Arc<dyn Function>> {
        vec![Arc::new(Twice)]
    }

    async fn configure(&self, _: &Context, request: ConfigureRequest) -> ConfigureResponse {
        match request.config.get("extra").as_i64() {
            Some(extra) if extra < 0 => {
                ConfigureResponse::failed(Diagnostic::error("Too little", "extra is negative"))
            }
            extra => ConfigureResponse::new(extra.unwrap_or(0)),
        }
    }
}

fn kit(fault: Fault) -> Kit {
    Kit { fault, secrets: Arc::default() }
}

fn extra(value: impl Into<Value>) -> Value {
    Value::object([("extra", value.into())])
}

fn shelf(name: &str, pin: impl Into<Value>) -> Value {
    Value::object([("name", name.into()), ("pin", pin.into()), ("id", Value::Null)])
}

async fn client(fault: Fault) -> Client {
    Client::configured(kit(fault), &Value::Null).await.unwrap()
}

#[tokio::test]
async fn a_sound_resource_lives_and_goes_without_a_broken_rule() {
    let provider = kit(Fault::None);
    let secrets = Arc::clone(&provider.secrets);
    let client = Client::configured(provider, &extra(2)).await.unwrap();
    let mut object = client.object("kit_shelf").unwrap();
    let first = shelf("books", "1234");
    object.apply(&first.clone().with("name", Value::unknown()), &first).await.unwrap();
    let second = shelf("films", Value::Null);
    object.apply(&second, &second).await.unwrap();
    assert_eq!(object.state(), &second.clone().with("id", "1"));
    object.destroy().await.unwrap();
    assert!(object.state().is_null());
    assert_eq!(object.violations(), &[]);
    // A write-only value passes the wire and stays out of the state.
    assert_eq!(*secrets.lock().unwrap(), ["1234"]);
}

#[tokio::test]
async fn each_fault_is_found_by_the_rule_that_it_breaks() {
    let faults = [
        (Fault::ForgetsTheName, Rule::PlanBroken),
        (Fault::NewIdEachTime, Rule::UnknownRead),
        (Fault::PlansAgainstTheConfiguration, Rule::ConfigIgnored),
        (Fault::LosesAtUpgrade, Rule::UpgradeLoss),
    ];
    for (fault, rule) in faults {
        let client = client(fault).await;
        let mut object = client.object("kit_shelf").unwrap();
        let config = shelf("books", Value::Null);
        let refused = object.apply(&config, &config).await.err().unwrap_or_default();
        let told = format!("{refused:?} {:?}", object.violations());
        assert!(told.contains(&format!("{rule:?}")), "{rule:?} is not in {told}");
    }
}

#[tokio::test]
async fn data_and_functions_are_asked_with_the_provider_configured() {
    let client = Client::configured(kit(Fault::None), &extra(2)).await.unwrap();
    let config = Value::object([("of", Value::from("abc")), ("letters", Value::Null)]);
    let read = client.read("kit_count", &config).await.unwrap();
    assert_eq!(read.get("letters").as_i64(), Some(5));
    assert_eq!(client.call("twice", &["ha".into()]).await.unwrap(), Value::from("haha"));
    let refused = client.call("twice", &["".into()]).await.unwrap_err();
    assert_eq!(
        (refused.argument, refused.text.as_str()),
        (Some(0), "there is nothing to say twice")
    );
}

#[tokio::test]
async fn what_the_author_refuses_is_told_in_the_authors_words() {
    let refused = Client::configured(kit(Fault::None), &extra(-1)).await.err().unwrap();
    assert_eq!(refused.iter().next().unwrap().summary, "Too little");
    let client = Client::new(kit(Fault::None)).await.unwrap();
    let config = Value::object([("of", Value::from("abc")), ("letters", Value::Null)]);
    let unconfigured = client.read("kit_count", &config).await.unwrap_err();
    assert_eq!(unconfigured.iter().next().unwrap().summary, "The provider is not configured");
    assert!(client.object("kit_shelve").is_err());
}

#[tokio::test]
async fn an_old_client_is_told_that_it_cannot_keep_a_secret() {
    let client = client(Fault::None).await.of_old();
    let found = client.validate("kit_shelf", &shelf("books", "1234")).await.unwrap();
    assert!(found.has_errors(), "{found:?}");
    let found = client.validate("kit_shelf", &shelf("books", Value::Null)).await.unwrap();
    assert!(found.is_empty(), "{found:?}");
}
