"""Writes checker.json beside this file. The verdicts are written by hand; test_tasks.py compares."""
import json
import os

P, Q = "make 46 from 3 7 25?", "make 10 from 2 2 3 3?"
C = "calc 17 *4 -23 +45?"
BIG = "9" * 18

CASES = [
    # right
    (P, " 3*7=21 21+25=46 #\n", True, "the reference"),
    (P, " 3*7=21 21+25=46 #", True, "stopped at the newline, which was removed"),
    (P, "3*7=21 21+25=46 #", True, "trimmed on both sides"),
    (P, " 7*3=21 25+21=46 #\n", True, "other order of operands"),
    (P, " 3*7=21 21+25=46 #\n 1+1=3 #\n", True, "text after the first newline is no part of the answer"),
    (Q, " 2*2=4 3+3=6 4+6=10 #\n", True, "a tree, not a chain; equal numbers"),
    (Q, " 2*3=6 2*3=6 6+6=12 12-2=10 #\n", False, "result wrong for the pool: 2 is not left"),
    (Q, " 3-3=0 2-2=0 0+0=0 #\n", False, "zero results are well formed, but the target is missed"),
    ("make 5 from 1 1 5?", " 1-1=0 5-0=5 #\n", True, "zero as an operand"),
    ("make 4 from 3 5 6?", " 3-5=-2 -2+6=4 #\n", True, "a negative result used as first operand"),
    ("make 8 from 3 5 6?", " 3-5=-2 6--2=8 #\n", True, "a negative result used as second operand"),
    ("make -12 from 3 5 6?", " 3-5=-2 6*-2=-12 #\n", True, "a negative target"),
    ("make 7 from 3 4?", " 3+4=7 #\n", True, "two numbers"),
    # arithmetic
    (P, " 3*7=22 22+25=47 #\n", False, "wrong arithmetic in the first step"),
    (P, " 3*7=21 21+25=47 #\n", False, "wrong arithmetic in the last step"),
    (P, " 3*7=20 20+25=46 #\n", False, "two errors that end in the target"),
    (P, " 3*7=21 21+25=-46 #\n", False, "sign"),
    # pool
    (P, " 3*7=21 21+25=46 46+3=49 #\n", False, "number used twice"),
    (P, " 21+25=46 #\n", False, "number from nowhere"),
    (P, " 7-3=4 4*25=100 #\n", False, "target missed"),
    ("make 10 from 3 7 25?", " 3+7=10 #\n", False, "a number is left over"),
    ("make 25 from 3 7 25?", " #\n", False, "no steps though the target is given"),
    ("make 46 from 3 7 25 46?", " 3*7=21 21+25=46 #\n", False, "the target itself is left over"),
    (P, " 3*7=21 21+25=46 46+0=46 #\n", False, "zero from nowhere"),
    (Q, " 2+2=4 2+3=5 5*3=15 #\n", False, "equal numbers: three uses of two"),
    ("make 9 from 3 7?", " 3*3=9 #\n", False, "one number as both operands"),
    (P, " 3*7=21 3*7=21 21+25=46 #\n", False, "a step repeated"),
    # form
    (P, " 3*7=21 21+25=46\n", False, "no #"),
    (P, " 3*7=21 21+25=46", False, "no # and no newline"),
    (P, " # 3*7=21 21+25=46\n", False, "# before the steps"),
    (P, " 3*7=21 # 21+25=46 #\n", False, "# in the middle"),
    (P, " 3*7=21 21+25=46 # done\n", False, "trailing text"),
    (P, " 3*7=21 21+25=46 #46\n", False, "an answer after #, as in calc"),
    (P, " 3*7=21 21+25=46 ##\n", False, "two #"),
    (P, " 3*7=21 21+25=46#\n", False, "no space before #"),
    (P, " 3*7=21  21+25=46 #\n", False, "two spaces"),
    (P, "  3*7=21 21+25=46 #\n", False, "two leading spaces"),
    (P, " 3*7=21\n21+25=46 #\n", False, "a newline between the steps"),
    (P, " 3*7=21\t21+25=46 #\n", False, "a tab between the steps"),
    (P, " 3*7=21 21+25=46 #\r\n", False, "a carriage return"),
    (P, " 3*7=21,21+25=46 #\n", False, "a comma"),
    (P, " 3*7+25=46 #\n", False, "two operations in one step"),
    (P, " 3 * 7 = 21 21 + 25 = 46 #\n", False, "spaces inside a step"),
    (P, " 21=3*7 46=21+25 #\n", False, "result first"),
    (P, " 3*7=21 25+21=46=46 #\n", False, "two equals signs"),
    ("make 2 from 6 3?", " 6/3=2 #\n", False, "division is not offered"),
    (P, "", False, "empty"),
    (P, "\n", False, "newline only"),
    (P, " ", False, "space only"),
    (P, "\n 3*7=21 21+25=46 #\n", False, "the answer comes after the first newline"),
    # numbers
    (P, " 03*7=21 21+25=46 #\n", False, "leading zero in an operand"),
    (P, " 3*7=021 21+25=46 #\n", False, "leading zero in a result"),
    (P, " +3*7=21 21+25=46 #\n", False, "plus sign"),
    ("make 3 from 3 5 5?", " 5-5=-0 3+-0=3 #\n", False, "minus zero"),
    (P, " 3*7=21.0 21.0+25=46 #\n", False, "decimal point"),
    (P, " 3*7=0x15 21+25=46 #\n", False, "hexadecimal"),
    (P, " 3*7=2_1 21+25=46 #\n", False, "digit separator"),
    (P, f" 3*7={BIG}{BIG} {BIG}{BIG}+25=46 #\n", False, "36 digits"),
    (P, " 3*7=" + "1" * 4000 + " #\n", False, "4000 digits"),
    (f"make 0 from {BIG} {BIG}?", f" {BIG}-{BIG}=0 #\n", True, "18 digits are still numbers"),
    (f"make 1 from {BIG} {BIG}?", f" {BIG}*{BIG}=1 #\n", False, "a product that overflows 64 bits"),
    ("make 0 from 4294967296 4294967296?", " 4294967296*4294967296=0 #\n", False,
     "a product that is 0 modulo 2^64"),
    (f"make 1 from 1{BIG} 1?", f" 1{BIG}*1=1{BIG} #\n", False, "19 digits are none"),
    (P, " \u0663*7=21 21+25=46 #\n", False, "Arabic-Indic digit three"),
    (P, " \uff13*7=21 21+25=46 #\n", False, "full-width digit three"),
    (P, " 3\u00d77=21 21+25=46 #\n", False, "multiplication sign"),
    ("make 4 from 7 3?", " 7\u22123=4 #\n", False, "minus sign U+2212"),
    (P, "\u00a03*7=21 21+25=46 #\n", False, "no-break space"),
    (P, " 3*7=21 21+25=46 #\u2028", False, "line separator"),
    (P, " 3*7=21 21+25=4\u03016 #\n", False, "combining accent"),
    (P, " 3*7=21 21+25=46 #\x00\n", False, "NUL"),
    # calc: only the final answer counts
    (C, " 17*4=68 68-23=45 45+45=90 #90\n", True, "the reference"),
    (C, " 17*4=68 68-23=45 45+45=90 #90", True, "without the newline"),
    (C, " 17*4=69 #90\n", True, "steps are not judged"),
    (C, "#90\n", True, "no steps"),
    (C, " #91 #90\n", True, "the last # counts"),
    (C, " #90\n #91\n", True, "only the first line counts"),
    (C, " 17*4=68 68-23=45 45+45=90 90\n", False, "no #"),
    (C, " 17*4=68 68-23=45 45+45=90 #\n", False, "nothing after #"),
    (C, " #90 \n", False, "a space after the answer"),
    (C, " #90 apples\n", False, "trailing text"),
    (C, " # 90\n", False, "a space before the answer"),
    (C, " #090\n", False, "leading zero"),
    (C, " #+90\n", False, "plus sign"),
    (C, " #-90\n", False, "sign"),
    (C, " #91\n", False, "wrong"),
    (C, " #9\u0660\n", False, "Arabic-Indic zero"),
    (C, " #" + "9" * 40 + "\n", False, "40 digits"),
    (C, "\n #90\n", False, "the answer comes after the first newline"),
    ("calc 5 -9?", " 5-9=-4 #-4\n", True, "a negative answer"),
    ("calc 5 -5?", " 5-5=0 #0\n", True, "zero"),
    ("calc 5 -5?", " 5-5=0 #-0\n", False, "minus zero"),
]


def calc_answer(prompt):
    words = prompt[:-1].split(" ")[1:]
    x = int(words[0])
    for w in words[1:]:
        y = int(w[1:])
        x = x + y if w[0] == "+" else x - y if w[0] == "-" else x * y
    return x


def main():
    rows = []
    for prompt, completion, correct, why in CASES:
        family = prompt.split(" ")[0]
        answer = calc_answer(prompt) if family == "calc" else int(prompt.split(" ")[1])
        rows.append({"family": family, "prompt": prompt, "answer": answer, "completion": completion,
                     "correct": correct, "why": why})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checker.json")
    with open(path, "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
