"""Patterns of texts that state an option. tests/rewards/test_patterns.py has examples of each.

All are verbose, (?x): they ignore spaces and line breaks in the pattern, and ``[ ]`` matches a space; (?ix) also ignores case. Each
takes time linear in its input, which is at most a sentence or a line.
"""

import re

EDGE = "[0-9A-Za-z_À-ɏ]"  # what makes a letter part of a word; Chinese characters, which need no spaces, do not
LETTER = rf"['‘(\[{{<]{{0,2}} ([A-Z]) (?!['’]?{EDGE})"  # B, (B), [B], 'B', but not the beginning of a word or of "I'm"
CLOSES = r"['’)\]}]{0,2} [.!。]?$"  # the characters that may follow the last letter of a sentence
CHOOSE = "choose|chose|pick|select"
GO_WITH = "go[ ]with|going[ ]with|go[ ]for|opt[ ]for"
SHOULD_BE = "[ ]is|[ ]would[ ]be|[ ]should[ ]be|[ ]must[ ]be|[ ]will[ ]be|[ ]has[ ]to[ ]be"
REFUSED_OPTION = r"[(\[]? [A-Z] (?![\w'’]) [)\]]?"

# --- text before an answer

LABEL = re.compile(  # "The correct answer is: ", "option", "Final answer =", "答案是"
    r"""(?ix)
      ^ (?: the[ ] | my[ ] )? (?: (?:final|correct|best|right) [ ] )?  # "the correct"
        (?: option | answer | ans | choice | letter ) (?:[ ]is)? [ ]? [:=]? [ ]? :?     # "answer is:"
    | ^ (?: 正确 | 最终 | 最佳 )? (?: 答案 | 选项 | 选择 | 选 ) (?: 是 | 为 )? [:]? [ ]?
    """
)
ANSWER_LINE = re.compile(  # a line that begins with "Answer", "**My final answer", "答案"
    r"(?ix) \W{0,4} (?: (?: (?:the|my) [ ] )? (?: (?:final|correct|best|right) [ ] )? answer\b | (?: 正确 | 最终 )? 答案 )"
)
INTRODUCES = re.compile(  # a line that ends, within one sentence, with "The best option here:", "答案是："
    r"""(?ix)
    (?: \b (?: answer | choice | best[ ]option | next[ ]action | next[ ]step ) \b [^.!?]{0,80} | 答案 [^。]{0,40} ) [:：] \W{0,4} $
    """
)

# --- text around a letter

HEAD = re.compile(rf"(?ix) \W{{0,4}} ([A-Z]) (?!['’]?{EDGE})")  # "B. open", "(b", but not "Be"
BRACKETED = re.compile(r"(?x) [a-z] [ ]? [)\]]")  # "b)", "(b ]": a small letter that is a name
CLEAR = re.compile(r"(?x) [)\]]? [.:。] | [)\]\n]")  # text after a letter that shows that it is a name and not a word

# --- sentences that answer

ANSWER_IS = re.compile(  # "answer: B", "the answer is clearly option B", "the choice should be (B)"
    rf"""(?x)
    \b (?: (?i: answer | ans | selection ) (?i: {SHOULD_BE} | [ ]= | = | )
         | (?i: option | choice ) (?i: {SHOULD_BE} | [ ]= | = | : ) )
    (?i: [ ]indeed | [ ]clearly | [ ]definitely | [ ]likely )? :? [ ]?     # how sure
    (?i: option[ ] | choice[ ] )? {LETTER}
    """
)
OPTION_CHOSEN = re.compile(  # "Option B ...", "so, option B", "I go with the choice B"
    rf"""(?x)
    (?: ^ | \b (?i: so | therefore | thus | hence | {CHOOSE} | say | with | for | is | be ) ,? [ ] (?: the[ ] )? )     # its start
    (?i: option | choice ) [ ] {LETTER}
    """
)
LETTER_CHOSEN = re.compile(  # "I choose B.", "going with B because", but not "choose A drawer"
    rf"(?x) \b (?i: {CHOOSE} | {GO_WITH} ) [ ] {LETTER} (?= [)\]}}.:,;] | $ | [ ] (?: because | since ) \b )"
)
LETTER_IS_RIGHT = re.compile(  # "B is the correct one", "(B is best"
    rf"(?x) (?<!{EDGE}) (?<!['’]) {LETTER} [ ]is[ ] (?i: the[ ] )? (?i: correct | right | best | answer ) \b"
)
CHINESE_ANSWER = re.compile(  # "答案是B", "故选 B", "应该选：B"
    rf"(?x) (?: 答案 | 选项 | 选择 | 应选 | 故选 | 应该选 | 选 ) (?: 应该是 | 应为 | 应是 | 是 | 为 )? [: ]{{0,2}} {LETTER}"
)
PHRASES = (ANSWER_IS, OPTION_CHOSEN, LETTER_CHOSEN, LETTER_IS_RIGHT, CHINESE_ANSWER)

# --- sentences that close with a letter

CLOSING_SO = re.compile(  # "So, B.", "-> B", "Decision: (B)"
    rf"""(?x)
    (?: ^ | [:\-–—=>] [ ]? | \b (?i: so | therefore | thus | hence | clearly | definitely | finally | overall | certainly | yes ) ,[ ] )
    {LETTER} ['’)\]}}>]{{0,2}} [.!。]?$
    """
)
CLOSING_CHOICE = re.compile(  # "hence B", "I pick: B", "I go for B!"
    rf"(?x) \b (?i: therefore | thus | hence | so | {CHOOSE} | say | {GO_WITH} ) :? [ ] {LETTER} {CLOSES}"
)
CLOSING_IT_IS = re.compile(  # "It's B.", "that must be (B)"
    rf"""(?x)
    \b (?i: it | this | that ) (?i: [ ]is | 's | ’s | [ ]must[ ]be | [ ]should[ ]be | [ ]has[ ]to[ ]be | [ ]would[ ]be )
    [ ] {LETTER} {CLOSES}
    """
)
CLOSING_BRACKET = re.compile(  # "... close the tap (B).", but not "figure (B)"
    r"(?ix) (?<! figure[ ] ) (?<! panel[ ] ) (?<! image[ ] ) [(\[] ([A-Z]) [)\]] [.!。]?$"
)
CLOSING_LETTER_IT_IS = re.compile(  # "So B it is."
    rf"(?x) (?: ^ | [,:][ ]? | \b(?i:so)[ ] ) {LETTER} [ ]it[ ]is [.!]?$"
)
CLOSING = (CLOSING_SO, CLOSING_CHOICE, CLOSING_IT_IS, CLOSING_BRACKET, CLOSING_LETTER_IT_IS)

# --- text that revokes an answer

TAKEN_BACK = re.compile(  # text after an answer's line that revokes it: "Wait, ...", "I changed my mind"
    r"(?ix) \b (?: wait | actually | correction | on[ ]second[ ]thoughts? | instead | changed?[ ]my | mistaken | wrong ) \b"
)
DOUBT = re.compile(  # "not", "maybe", "B or C", "isn't", a question, "不"
    r"""(?ix)
      \b (?: no | not | never | neither | nor | cannot | either | or | if | unless | unsure | unclear | maybe | guess | wait
           | actually | wrong | incorrect | false | except | instead | rather | than | without
           | (?: rule | exclude | eliminate ) [sd]? ) \b
    | n['’]t\b | [?？]$ | 不 | 或 | 还是 | 吗 | 除了
    """
)
REFUSED = re.compile(  # ", not A", "rather than option A or C", "but not (A)"
    rf"""(?x)
    ,? [ ]? \b (?: and[ ] | but[ ] )? (?: not | rather[ ]than | instead[ ]of ) [ ]     # the refusal
    (?: option[ ] | choice[ ] )? {REFUSED_OPTION} (?: [ ]or[ ] {REFUSED_OPTION} )*
    """
)
REASON = re.compile(r"(?ix) \b (?: because | since | given[ ]that | due[ ]to ) \b | 因为")  # a reason follows it

# --- text that names an option

NAME = re.compile(rf"(?x) (?<!{EDGE}) (?<!{EDGE}['’]) ([A-Z]) (?!['’]?{EDGE})")  # a capital that stands alone
NAMED_OPTION = re.compile(r"(?ix) \b (?: option | choice | answer: ) [ ]? \W?$")  # "option ", before a letter
ARTICLE = re.compile(  # "A person", "I see": a lower-case word follows that is no connective ("A is", "A because")
    r"""(?x)
    [AI] [ ] (?! (?: also | and | as | because | but | comes | could | does | due | fits | for | from | given | has | if | is | it
                   | makes | must | nor | not | or | rather | remains | seems | should | since | so | than | unless | was | when
                   | which | with | would ) \b ) [a-z]
    """
)
