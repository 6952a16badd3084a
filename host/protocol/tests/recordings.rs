//! Judges every recording of a real Ollama, wherever its bytes are split.

use upright_protocol::{Asked, Cut, Empty, Failed, Judgement, QuestionCut, Reader, Route, Verdict};
use upright_recordings::{Body, Label, Recording, named, recordings};

fn asked(recording: &Recording) -> Option<Asked> {
    Some(Asked::read(Route::of(&recording.request.path)?, &recording.request.bytes()))
}

fn judged<'a>(asked: &Asked, body: &Body, pieces: impl IntoIterator<Item = &'a [u8]>) -> Judgement {
    let mut reader = Reader::new(asked.clone(), body.status);
    pieces.into_iter().for_each(|piece| reader.push(piece));
    reader.end(body.ended)
}

fn judge(recording: &Recording) -> Option<Judgement> {
    let (asked, body) = (asked(recording)?, recording.body()?);
    Some(judged(&asked, &body, [body.bytes.as_slice()]))
}

fn fits(verdict: &Verdict, label: Label) -> bool {
    match label {
        Label::Whole => matches!(verdict, Verdict::Whole),
        Label::Cut => matches!(verdict, Verdict::Cut(_)),
        Label::Empty => matches!(verdict, Verdict::Empty(_)),
        Label::Length => matches!(verdict, Verdict::UsedUpLength),
        Label::CutQuestion => matches!(verdict, Verdict::QuestionCut(_)),
        // Nothing shows the cut.
        Label::CutQuestionUnseen => matches!(verdict, Verdict::Whole | Verdict::UsedUpLength),
        Label::Error => matches!(verdict, Verdict::Failed(_)),
    }
}

#[test]
fn every_recording_of_a_model_is_judged_as_it_is_labelled() {
    let mut judgements = 0;
    let mut wrong = Vec::new();
    for recording in recordings().iter().filter(|recording| Route::of(&recording.request.path).is_some()) {
        judgements += 1;
        match judge(recording) {
            Some(judgement) if fits(&judgement.verdict, recording.label) => {}
            None if recording.label == Label::Error => {}
            judgement => wrong.push(format!("{}: {:?}, judged {judgement:?}", recording.name, recording.label)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(judgements, 325);
}

#[test]
fn a_judgement_is_the_same_wherever_the_bytes_are_split() {
    for recording in recordings() {
        let (Some(asked), Some(body)) = (asked(recording), recording.body()) else { continue };
        let expected = judged(&asked, &body, [body.bytes.as_slice()]);
        assert_eq!(judged(&asked, &body, body.bytes.chunks(1)), expected, "{}, byte by byte", recording.name);
        // Long bodies repeat themselves; single bytes cover every split.
        let every = if body.bytes.len() > 1500 { 13 } else { 1 };
        for split in (0..=body.bytes.len()).step_by(every) {
            let (before, after) = body.bytes.split_at(split);
            assert_eq!(judged(&asked, &body, [before, after]), expected, "{}, split at {split}", recording.name);
        }
    }
}

#[test]
fn a_stream_is_whole_from_the_word_that_ends_it_on_and_not_before() {
    for (name, end) in [
        ("plain", "\"done\":true"),
        ("g-plain", "\"done\":true"),
        ("tool-call", "\"done\":true"),
        ("plain-v1", "\"finish_reason\":\"stop\""),
        ("c-plain", "\"finish_reason\":\"stop\""),
        ("tool-call-v1", "\"finish_reason\":\"tool_calls\""),
        ("m-plain", "\"stop_reason\":\"end_turn\""),
        ("m-tool-call", "\"stop_reason\":\"tool_use\""),
        ("r-plain", "event: response.completed"),
        ("r-tool-call", "event: response.completed"),
    ] {
        let recording = named(name);
        let (asked, body) = (asked(recording).unwrap(), recording.body().unwrap());
        let ends = String::from_utf8_lossy(&body.bytes).find(end).unwrap() + end.len();
        for finished in [true, false] {
            let mut whole = false;
            for length in 0..=body.bytes.len() {
                let part = Body { ended: finished, ..body.clone() };
                let verdict = judged(&asked, &part, [&body.bytes[..length]]).verdict;
                if whole || verdict == Verdict::Whole {
                    assert!(length >= ends && verdict == Verdict::Whole, "{name}, {length} bytes of which {ends} are needed: {verdict:?}");
                    whole = true;
                } else {
                    assert!(matches!(verdict, Verdict::Cut(_)), "{name}, {length} bytes: {verdict:?}");
                }
            }
            assert!(whole, "{name}");
        }
    }
}

#[test]
fn how_an_answer_falls_short_is_named() {
    let unread = |read, words| Verdict::QuestionCut(QuestionCut::Unread { read, words });
    for (name, verdict) in [
        ("ends-early", Verdict::Cut(Cut::NoDone)),
        ("ends-early-whole", Verdict::Cut(Cut::DoneFalse)),
        ("repeat", Verdict::Cut(Cut::Repetition)),
        ("repeat-whole", Verdict::Cut(Cut::Repetition)),
        ("repeat-v1", Verdict::Cut(Cut::Repetition)),
        ("repeat-whole-v1", Verdict::Cut(Cut::Repetition)),
        ("m-repeat", Verdict::Cut(Cut::Repetition)),
        ("m-repeat-whole", Verdict::Cut(Cut::Repetition)),
        ("r-repeat", Verdict::Cut(Cut::Repetition)),
        ("r-repeat-whole", Verdict::Cut(Cut::Repetition)),
        ("inner-frozen-chat-stream", Verdict::Cut(Cut::Broken)),
        ("empty", Verdict::Empty(Empty::Nothing)),
        ("m-empty-whole", Verdict::Empty(Empty::Nothing)),
        ("thinking-then-nothing", Verdict::Empty(Empty::ThinkingAlone)),
        ("thinking-only-v1", Verdict::Empty(Empty::ThinkingAlone)),
        ("tool-call-cut", Verdict::Empty(Empty::ToolCallLost)),
        ("tool-call-cut-whole-v1", Verdict::Empty(Empty::ToolCallLost)),
        // Without counts.
        ("tool-call-cut-v1", Verdict::Empty(Empty::Nothing)),
        ("long", unread(2050, 6000)),
        ("m-long", unread(2050, 6000)),
        ("chat-long-4096-many", unread(4051, 6100)),
        ("old-embed-long-default", unread(126, 300)),
        ("stream-shift-full", Verdict::QuestionCut(QuestionCut::Slid { used: 415, window: 256 })),
        ("cut", Verdict::Failed(Failed::Reported)),
        ("cut-whole", Verdict::Failed(Failed::Status(500))),
    ] {
        assert_eq!(judge(named(name)).unwrap().verdict, verdict, "{name}");
    }
}

#[test]
fn a_judgement_counts_text_thinking_tool_calls_and_tokens_received() {
    for (name, text, thinking, calls, prompt, answer) in [
        ("plain", 12, 0, 0, Some(10), Some(3)),
        ("plain-v1", 12, 0, 0, None, None),
        ("m-plain", 12, 0, 0, Some(10), Some(3)),
        ("r-plain", 12, 0, 0, Some(10), Some(3)),
        ("r-plain-whole", 12, 0, 0, Some(10), Some(3)),
        ("g-plain", 12, 0, 0, Some(10), Some(3)),
        ("c-plain", 12, 0, 0, None, None),
        ("thinking", 9, 20, 0, Some(10), Some(5)),
        ("tool-call", 0, 0, 1, Some(10), Some(4)),
        ("tool-call-v1", 0, 0, 1, None, None),
        ("m-tool-call", 0, 0, 1, Some(10), Some(4)),
        ("cut", 11, 0, 0, None, None),
        ("m-repeat-whole", 186, 0, 0, None, None),
    ] {
        let Judgement { received, usage, .. } = judge(named(name)).unwrap();
        let found = (received.text, received.thinking, received.tool_calls, usage.prompt, usage.answer);
        assert_eq!(found, (text, thinking, calls, prompt, answer), "{name}");
    }
}
