//! Absurd arguments, for the built-in policy and native code.

use super::{Tally, Target, count};
use crate::corpus::Corpus;
use crate::dice::Dice;
use crate::finding::{Broken, one_line};
use crate::question::{Answer, Question};
use crate::vary::Vary;
use crate::{reach, sense};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use upright::policy::PolicyError;
use upright::{Policy, PolicyLifecycle, PolicySlot};
use upright_conformance::native;
use upright_operations::eval::Evaluator;

const CHANGES: usize = 6;

/// The target.
pub struct Arguments<'a> {
    corpus: &'a Corpus,
    policy: Policy,
    evaluator: Mutex<Evaluator>,
}

impl<'a> Arguments<'a> {
    /// Cases from the corpus's questions.
    ///
    /// # Errors
    /// If no component can run.
    pub fn new(corpus: &'a Corpus) -> Result<Self, PolicyError> {
        let policy = super::built_in()?;
        Ok(Self { corpus, evaluator: Mutex::new(Evaluator::new(policy.clone())), policy })
    }

    fn same_without_host(&self, question: &Question, within: bool) -> Result<(), Broken> {
        let Some((function, arguments)) = question.in_json() else { return Ok(()) };
        let mut evaluator = self.evaluator.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let component = match evaluator.eval(function, &arguments) {
            Ok(answer) => answer.to_string(),
            Err(error) => {
                one_line(&error.to_string())?;
                if within {
                    return Err(Broken::NotAnswered { question: question.name(), answer: error.to_string() });
                }
                return Ok(());
            }
        };
        let native = native::eval(function, &arguments).map_or_else(|error| error.to_string(), |answer| answer.to_string());
        equal(question, component, native)
    }
}

fn equal(question: &Question, component: String, native: String) -> Result<(), Broken> {
    if component == native { Ok(()) } else { Err(Broken::Unequal { question: question.name(), component, native }) }
}

impl Target for Arguments<'_> {
    type Case = Question;

    const NAME: &'static str = "arguments";

    fn make(&self, dice: &mut Dice) -> Question {
        let mut question = dice.pick(&self.corpus.questions).clone();
        for _ in 0..=dice.below(CHANGES) {
            question.vary(dice);
        }
        question
    }

    fn examine(&self, question: &Question, tally: &mut Tally) -> Result<(), Broken> {
        let within = reach::can_be_asked(question);
        count(tally, if within { "within a host's reach" } else { "beyond a host's reach" });
        let (slot, native) = (PolicyLifecycle::new(self.policy.clone()), PolicySlot::native());
        let (answer, natively) = (question.ask(slot.slot()), question.ask(&native));
        // Both may answer in turn when asked repeatedly.
        let (asked, failed) = (slot.counts().decisions, slot.counts().safe_mode);
        if failed > 0 {
            count(tally, "answered in safe mode");
        }
        if let Answer::Breaker(Err(refusal)) | Answer::Walk(Err(refusal)) = &answer {
            count(tally, "refused by the host");
            one_line(refusal)?;
        }
        // Debug text has all bits of a number, and one text for all NaNs.
        equal(question, format!("{answer:?}"), format!("{natively:?}"))?;
        if within {
            if failed > 0 || asked == 0 {
                return Err(Broken::NotAnswered { question: question.name(), answer: format!("{answer:?}") });
            }
            sense::of(question, &answer).map_err(|expected| Broken::Nonsense {
                question: question.name(),
                answer: format!("{answer:?}"),
                expected,
            })?;
        }
        self.same_without_host(question, within)
    }

    fn simpler(&self, question: &Question) -> Vec<Question> {
        question.simpler()
    }

    fn save(&self, question: &Question, folder: &Path, stem: &str) -> std::io::Result<Vec<PathBuf>> {
        let path = folder.join(stem).with_extension("ron");
        std::fs::write(&path, in_ron(question)?)?;
        Ok(vec![path])
    }

    fn describe(&self, question: &Question) -> String {
        in_ron(question).unwrap_or_else(|_| format!("{question:?}"))
    }
}

pub(super) fn in_ron(question: &Question) -> std::io::Result<String> {
    let text = ron::ser::to_string_pretty(question, ron::ser::PrettyConfig::new().struct_names(false));
    text.map(|text| text + "\n").map_err(std::io::Error::other)
}
