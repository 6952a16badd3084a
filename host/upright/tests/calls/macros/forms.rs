//! The attributes on functions of every form.

use super::{Count, Problem, reset};
use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use upright::{with_circuit_breaker, with_retry};

trait Ask {
    type Answer: Debug;

    fn tries(&self) -> &Count;

    fn ask(&self, question: &str) -> Result<Self::Answer, Problem>;

    #[with_retry(base_delay = 0)]
    fn by_default(&self, question: &str) -> Result<String, Problem> {
        if self.tries().up() == 1 { Err(reset())? } else { Ok(format!("default {question}")) }
    }

    fn consumed(self, question: &str) -> impl Future<Output = Result<String, Problem>>;
}

#[derive(Clone, Default)]
struct Client {
    tries: Arc<Count>,
    name: String,
}

impl Client {
    fn named(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    fn fail_once(&self) -> Result<(), Problem> {
        if self.tries.up() == 1 { Err(reset())? } else { Ok(()) }
    }

    #[with_retry(base_delay = 0)]
    pub async fn by_reference<'a>(&'a self, question: &str) -> Result<&'a str, Problem> {
        self.fail_once()?;
        assert_eq!(question, "why");
        Ok(&self.name)
    }

    #[with_retry(base_delay = 0)]
    pub(crate) fn borrowed(&self) -> Result<Cow<'_, str>, Problem> {
        self.fail_once()?;
        Ok(Cow::Borrowed(&self.name))
    }

    #[with_retry(base_delay = 0)]
    async fn by_value(self, question: String) -> Result<String, Problem> {
        self.fail_once()?;
        Ok(self.name + &question)
    }

    #[with_retry(base_delay = 0)]
    fn by_changing_value(mut self, mut question: String) -> Result<String, Problem> {
        self.name.push('!');
        question.push('?');
        self.fail_once()?;
        Ok(self.name + &question)
    }

    #[with_retry(base_delay = 0)]
    async fn shared(self: Arc<Self>) -> Result<String, Problem> {
        self.fail_once()?;
        Ok(format!("{} again", self.name))
    }

    #[with_retry(base_delay = 0)]
    fn counted(self: &Rc<Self>) -> Result<usize, Problem> {
        self.fail_once()?;
        Ok(Rc::strong_count(self))
    }

    #[with_retry(base_delay = 0)]
    async fn pinned(self: Pin<&Self>) -> Result<String, Problem> {
        self.fail_once()?;
        Ok(self.name.clone())
    }

    #[with_retry(base_delay = 0)]
    fn associated(tries: &Count) -> Result<Self, Problem> {
        if tries.up() == 1 { Err(reset())? } else { Ok(Self::default()) }
    }
}

impl Ask for Client {
    type Answer = String;

    fn tries(&self) -> &Count {
        &self.tries
    }

    #[with_retry(base_delay = 0)]
    fn ask(&self, question: &str) -> Result<Self::Answer, Problem> {
        self.fail_once()?;
        Ok(format!("{} {question}", self.name))
    }

    #[with_retry(base_delay = 0)]
    async fn consumed(self, question: &str) -> Result<String, Problem> {
        self.fail_once()?;
        Ok(format!("{} {question}", self.name))
    }
}

#[tokio::test]
async fn methods_of_every_receiver_are_tried_again() {
    assert_eq!(Client::named("she").by_reference("why").await.unwrap(), "she");
    assert_eq!(Client::named("she").borrowed().unwrap(), "she");
    assert_eq!(Client::named("she").by_value(" knows".into()).await.unwrap(), "she knows");
    assert_eq!(Client::named("she").by_changing_value("why".into()).unwrap(), "she!why?");
    assert_eq!(Arc::new(Client::named("she")).shared().await.unwrap(), "she again");
    assert_eq!(Rc::new(Client::named("she")).counted().unwrap(), 1);
    assert_eq!(Pin::new(&Client::named("she")).pinned().await.unwrap(), "she");
    assert!(Client::associated(&Count::new()).is_ok());
}

#[tokio::test]
async fn methods_of_traits_are_tried_again() {
    assert_eq!(Client::named("she").ask("why").unwrap(), "she why");
    assert_eq!(Client::named("she").by_default("why").unwrap(), "default why");
    assert_eq!(Client::named("she").consumed("why").await.unwrap(), "she why");
}

#[tokio::test]
async fn a_generic_function_keeps_all_its_parameters() {
    #[with_retry(base_delay = 0)]
    async fn joined<'a, T: Display + 'a, const N: usize, F>(
        tries: &'a Count,
        parts: [&'a T; N],
        separator: impl AsRef<str> + Clone,
        wrap: F,
    ) -> Result<(String, &'a T), Problem>
    where
        F: Fn(&str) -> String + Clone,
    {
        if tries.up() == 1 {
            return Err(reset())?;
        }
        let texts: Vec<_> = parts.iter().map(ToString::to_string).collect();
        Ok((wrap(&texts.join(separator.as_ref())), parts[0]))
    }
    let tries = Count::new();
    let wrapped = joined(&tries, [&1, &2, &3], "-", |text| format!("<{text}>")).await.unwrap();
    assert_eq!((wrapped, tries.get()), (("<1-2-3>".to_owned(), &1), 2));
}

#[test]
fn a_hidden_type_in_the_result_stays_hidden() {
    #[with_retry(base_delay = 0)]
    fn below(tries: &Count, end: u32) -> Result<impl Iterator<Item = u32> + use<>, Problem> {
        if tries.up() == 1 {
            Err(reset())?;
        }
        Ok((0..end).filter(|number| number % 2 == 0))
    }
    assert_eq!(below(&Count::new(), 5).unwrap().collect::<Vec<_>>(), [0, 2, 4]);
}

#[test]
fn the_bodys_names_are_its_own() {
    static GUARD: u32 = 1;
    const fn retry(number: u32) -> u32 {
        number + 1
    }
    #[with_retry(base_delay = 0, max_retries = ATTEMPT)]
    fn names(guard: u32, attempt: u32, fallback: u32, given: u32, outcome: u32) -> Result<u32, Problem> {
        fn call(number: u32) -> u32 {
            number
        }
        let sum = 'attempt: {
            if guard > 9 {
                break 'attempt guard;
            }
            guard + attempt + fallback + given + outcome + GUARD
        };
        Ok(retry(call(sum)))
    }
    const ATTEMPT: u32 = 2;
    assert_eq!(names(1, 2, 3, 4, 5).unwrap(), 17);
}

#[test]
fn attributes_and_visibility_stay() {
    #[with_retry]
    #[must_use]
    #[deprecated = "still here"]
    #[inline]
    fn old(#[allow(unused_variables)] unused: u32) -> Result<u32, Problem> {
        #![allow(clippy::let_and_return)]
        let four = Ok(4);
        four
    }
    #[expect(deprecated)]
    let value = old(1);
    assert_eq!(value.unwrap(), 4);
}

#[tokio::test]
async fn a_breaker_takes_arguments_that_can_be_neither_copied_nor_cloned() {
    struct Connection {
        sent: Vec<String>,
    }
    struct Token;
    impl Connection {
        #[with_circuit_breaker]
        async fn send(&mut self, _token: Token, log: &mut Vec<u32>, text: impl Into<String>) -> Result<usize, Problem> {
            tokio::task::yield_now().await;
            self.sent.push(text.into());
            log.push(1);
            Ok(self.sent.len())
        }

        #[with_circuit_breaker]
        fn close(self, mut token: Option<Token>) -> Result<Vec<String>, Problem> {
            token.take().ok_or(Problem::NoSuchRow(0))?;
            Ok(self.sent)
        }
    }
    let (mut connection, mut log) = (Connection { sent: Vec::new() }, Vec::new());
    assert_eq!(connection.send(Token, &mut log, "one").await.unwrap(), 1);
    assert_eq!(connection.send(Token, &mut log, "two").await.unwrap(), 2);
    assert_eq!((connection.close(Some(Token)).unwrap(), log), (vec!["one".to_owned(), "two".to_owned()], vec![1, 1]));
}

mod renamed {
    pub(crate) use upright as steady;
}

#[test]
fn the_macros_find_upright_under_a_path_given_by_crate() {
    #[with_retry(crate = crate::macros::forms::renamed::steady, base_delay = 0)]
    #[with_circuit_breaker]
    fn fetch(tries: &Count) -> Result<(), Problem> {
        if tries.up() == 1 { Err(reset())? } else { Ok(()) }
    }
    fetch(&Count::new()).unwrap();
}

#[test]
fn the_macros_accept_a_function_written_by_macro_rules() {
    macro_rules! fetcher {
        ($name:ident, $retries:expr, $kind:ty, $value:expr, $fallback:path) => {
            #[with_retry(max_retries = $retries, base_delay = 0, fallback = $fallback)]
            fn $name(tries: &Count, value: $kind) -> Result<$kind, Problem> {
                if tries.up() > 0 {
                    return Err(reset().into());
                }
                Ok(value + $value)
            }
        };
    }
    fn same(_: &Count, value: u32) -> Result<u32, Problem> {
        Ok(value)
    }
    fetcher!(fetch, 2, u32, 5, same);
    let tries = Count::new();
    assert_eq!((fetch(&tries, 7).unwrap(), tries.get()), (7, 3));
}
