"""Talk to SmolLM2-135M-Instruct in the terminal.

    python chat.py                            the most probable answer
    python chat.py --temperature 0.7          answers that differ from time to time
    python chat.py --model FILE.gguf          weights that lie elsewhere
    python chat.py --model FILE.pt            a model that you finetuned as in chapter 7

In the conversation, /reset forgets it, /system TEXT begins a new one in which the model is told TEXT about itself, and
/quit, or the end of the input, leaves. Ctrl-C stops the answer that is being written, not the program. No network is
used. Appendix H builds all that this needs. chat_page.py is the same conversation in a web page.
"""

import argparse
import math
import sys

import torch

from previous_chapters import SYSTEM, Chat, load_finetuned, load_smollm2


def parse(arguments=None, parser=None):
    """Return the options, those that a given parser has already among them."""
    parser = parser or argparse.ArgumentParser(description="Talk to SmolLM2 in the terminal.")
    parser.add_argument("--model", help="a GGUF file, or one that chapter 7 saved (default: where appendix H looks)")
    parser.add_argument("--system", help="what the model is told about itself (default: what it was trained with)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 always takes the most probable token")
    parser.add_argument("--seed", type=int, default=123, help="for drawing, where the temperature is above 0")
    parser.add_argument("--max-tokens", type=int, default=512, help="of one answer")
    options = parser.parse_args(arguments)
    if not 0 <= options.temperature < math.inf:  # also false for nan
        parser.error(f"--temperature must be a number of at least 0, got {options.temperature}")
    if not 0 <= options.seed < 2**64:
        parser.error(f"--seed must be at least 0 and below 2**64, got {options.seed}")
    if options.max_tokens < 1:
        parser.error(f"--max-tokens must be at least 1, got {options.max_tokens}")
    return options


def load(options):
    """Return model and tokenizer; without a wish for the system's message, options get what the model was trained with.

    Raises:
        FileNotFoundError, ValueError: as `load_smollm2` and `load_finetuned`.
    """
    if options.model and not options.model.endswith(".gguf"):
        return load_finetuned(options.model)  # trained without a system's message
    if options.system is None:
        options.system = SYSTEM
    return load_smollm2(options.model)


def prepare_terminal():
    """Show a letter that the terminal's encoding lacks as a question mark, and let the arrow keys edit the line."""
    for stream in (sys.stdin, sys.stdout):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        import readline  # noqa: F401  input() then uses it; Windows has no such module, and needs none
    except ImportError:
        pass


def answer(chat, text, max_tokens):
    """Print the answer to a message as it is written; Ctrl-C cuts it off."""
    stream = chat.stream(text, max_tokens)
    try:
        for piece in stream:
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        stream.close()  # the conversation keeps what was written
        print(" …", end="")
    except ValueError as error:
        print(f"({error}; /reset forgets the conversation)", end="")
    print("\n")


def main(arguments=None):
    """Hold a conversation until the input ends; return the exit status."""
    options = parse(arguments)
    try:
        model, tokenizer = load(options)
        chat = Chat(model, tokenizer, options.system, options.temperature)
    except (FileNotFoundError, ValueError) as error:
        print(f"chat.py: {error}", file=sys.stderr)
        return 1
    torch.manual_seed(options.seed)
    prepare_terminal()
    print("SmolLM2, 135 million parameters. /reset, /system TEXT, /quit\n")
    while True:
        try:
            text = input("> ").strip()
        except KeyboardInterrupt:
            print()
            continue
        except EOFError:
            print()
            return 0
        command, rest = [*text.split(maxsplit=1), "", ""][:2]
        if command == "/quit":
            return 0
        elif command == "/reset":
            chat.reset()
            print("(a new conversation)\n")
        elif command == "/system" and rest:
            chat.reset(rest)
            print("(a new conversation)\n")
        elif command.startswith("/"):
            print("(/reset, /system TEXT, /quit)\n")
        elif text:
            answer(chat, text, options.max_tokens)


if __name__ == "__main__":
    sys.exit(main())
