// Unmodified clients from npm, asked one question after another, as clients.py asks those from PyPI.
import { createInterface } from "node:readline";
import { Ollama } from "ollama";
import OpenAI from "openai";

const MODEL = "m";
const PARAMETERS = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const FUNCTION = { name: "weather", description: "Tells the weather", parameters: PARAMETERS };
const FUNCTION_TOOL = { type: "function", function: FUNCTION };

/** A question, and what has come of its answer. */
class Question {
  constructor(url, stream, tools, hangUp) {
    Object.assign(this, { url, stream, tools, hangUp, came: "" });
    this.text = tools ? "What is the weather in Oslo?" : "Hello?";
    this.messages = [{ role: "user", content: this.text }];
  }

  offering(tool) {
    return this.tools ? { tools: [tool] } : {};
  }

  /** Yields the pieces of a streamed answer, until it hangs up, or a whole answer as one piece. */
  async *pieces(answer) {
    if (!this.stream) return yield answer;
    for await (const piece of answer) {
      yield piece;
      if (!this.hangUp || !this.came) continue;
      if (this.hangUp === "break") return;
      // Ends the wait for the next piece. The answer of openai.js has an AbortController.
      (answer.controller ?? answer).abort();
    }
  }

  took(text) {
    this.came += text ?? "";
  }

  /** Takes a tool call. Arguments may come as text, in pieces. */
  called(name, args) {
    this.took(name);
    this.took(typeof args === "object" ? JSON.stringify(args) : args);
  }
}

const ofOpenai = (question) => new OpenAI({ baseURL: `${question.url}/v1`, apiKey: "none", maxRetries: 0, timeout: 30_000 });

async function ollamaChat(question) {
  const { messages, stream } = question;
  const answer = await new Ollama({ host: question.url }).chat({ model: MODEL, messages, stream, ...question.offering(FUNCTION_TOOL) });
  for await (const piece of question.pieces(answer)) {
    question.took(piece.message.content);
    for (const call of piece.message.tool_calls ?? []) question.called(call.function.name, call.function.arguments);
  }
}

async function ollamaGenerate(question) {
  const { text, stream } = question;
  const answer = await new Ollama({ host: question.url }).generate({ model: MODEL, prompt: text, stream });
  for await (const piece of question.pieces(answer)) question.took(piece.response);
}

async function ollamaEmbed(question) {
  const answer = await new Ollama({ host: question.url }).embed({ model: MODEL, input: question.text });
  question.took(String(answer.embeddings[0].length));
}

async function openaiChat(question) {
  const { messages, stream } = question;
  const answer = await ofOpenai(question).chat.completions.create({ model: MODEL, messages, stream, ...question.offering(FUNCTION_TOOL) });
  for await (const piece of question.pieces(answer)) {
    for (const choice of piece.choices) {
      const message = stream ? choice.delta : choice.message;
      question.took(message.content);
      for (const call of message.tool_calls ?? []) question.called(call.function.name, call.function.arguments);
    }
  }
}

async function openaiCompletion(question) {
  const { text, stream } = question;
  const answer = await ofOpenai(question).completions.create({ model: MODEL, prompt: text, stream });
  for await (const piece of question.pieces(answer)) for (const choice of piece.choices) question.took(choice.text);
}

async function openaiResponse(question) {
  const { text, stream } = question;
  const tools = question.offering({ type: "function", strict: false, ...FUNCTION });
  const answer = await ofOpenai(question).responses.create({ model: MODEL, input: text, stream, ...tools });
  if (!stream) {
    if (answer.status !== "completed") throw new Error(`the response is ${answer.status}: ${JSON.stringify(answer.error)}`);
    question.took(answer.output_text);
    for (const item of answer.output) if (item.type === "function_call") question.called(item.name, item.arguments);
    return;
  }
  for await (const event of question.pieces(answer)) {
    if (event.type === "response.output_text.delta") question.took(event.delta);
    const { item } = event;
    if (event.type === "response.output_item.done" && item.type === "function_call") question.called(item.name, item.arguments);
    if (event.type === "response.failed" || event.type === "response.incomplete") {
      throw new Error(`${event.type}: ${JSON.stringify(event.response.error)}`);
    }
  }
}

async function openaiEmbed(question) {
  const answer = await ofOpenai(question).embeddings.create({ model: MODEL, input: question.text });
  question.took(String(answer.data[0].embedding.length));
}

const WAYS = {
  "ollama.js chat": ollamaChat,
  "ollama.js generate": ollamaGenerate,
  "ollama.js embeddings": ollamaEmbed,
  "openai.js chat": openaiChat,
  "openai.js completions": openaiCompletion,
  "openai.js responses": openaiResponse,
  "openai.js embeddings": openaiEmbed,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { url, client, way, tools, hang_up } = JSON.parse(line);
  const [route, how] = way.split(" ");
  const question = new Question(url, how === "stream", tools, hang_up);
  let [outcome, error] = ["text", null];
  try {
    await WAYS[`${client} ${route}`](question);
  } catch (thrown) {
    [outcome, error] = ["error", `${thrown.name}: ${thrown.message}`];
  }
  console.log(JSON.stringify({ client, way, outcome, text: question.came, error }));
}
