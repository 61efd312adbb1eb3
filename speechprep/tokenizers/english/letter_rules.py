"""Letter-to-sound rules of `letter_to_sound`: for each letter, the graphemes starting with it. The first match applies.

Each line is: grapheme | left context | right context | phones. Contexts are regular expressions; `^` and `$` are the
ends of the word. An empty last column means silent letters.
"""

from __future__ import annotations

RULES = """
augh | | | AO
au | | | AO
aw | | | AO
air | | | EH R
ai | | | EY
ay | | | EY
are | | $ | EH R
ar | | (?![aeiouy]) | AA R
ar | .[^aeiouy] | y$ | EH R
all | | $ | AO L
al | | [kt] | AO L
al | [aeiouy].* | $ | AH L
ange | | | EY N JH
age | [aeiouy].* | $ | IH JH
able | .. | $ | AH B AH L
a | | tion | EY
a | | [^aeiouywxr](e|es|ed|er|ing)$ | EY
a | | $ | AH
a | ^ | [^aeiouy][aeiouy] | AH
a | [aeiouy].* | [nm](ce|t|d)?s?$ | AH
a | | | AE
bb | | | B
b | m | $ |
b | | | B
cc | | [eiy] | K S
cc | | | K
ch | | [rl] | K
ch | | | CH
ck | | | K
cian | | | SH AH N
cious | | | SH AH S
c | | [eiy] | S
cq | | u | K
c | | | K
dd | | | D
dg | | [ei] | JH
d | | | D
eau | | | OW
eigh | | | EY
ear | | [^aeiouys] | ER
ea | | [dlv]th?$ | EH
ea | | | IY
eer | | | IH R
ee | | | IY
ei | c | | IY
ei | | | EY
eu | | | UW
ew | | | UW
ey | | s?$ | IY
ere | | $ | IH R
er | | (?![aeiouy]) | ER
ed | [aeiouy].*[td] | $ | IH D
ed | [aeiouy].*([pkfxcs]|sh|ch) | $ | T
ed | [aeiouy].* | $ | D
es | [aeiouy].*([szxc]|sh|ch|g) | $ | IH Z
es | [aeiouy].*[ptkf] | $ | S
es | [aeiouy].* | $ | Z
e | [aeiouy].* | $ |
e | [aeiouy].* | (ly|ness|less|ful|ment)s?$ |
e | | $ | IY
e | [aeiouy].* | [lnm](t|ts|ce|cy|s)?$ | AH
e | ^(b|d|r|pr) | [^aeiouy][aeiouy] | IH
e | ^.? | [^aeiouyrx]e$ | IY
e | | | EH
ff | | | F
f | | | F
gg | | | G
gh | ^ | | G
gh | | |
gn | ^ | | N
gn | | $ | N
gu | | [eiy] | G
g | | [eiy] | JH
g | | | G
h | [aeiou] | (?![aeiouy]) |
h | r | |
h | | | HH
igh | | | AY
ing | [aeiouy].* | s?$ | IH NG
ier | | | IY ER
ies | [aeiouy].* | $ | IY Z
ied | [aeiouy].* | $ | IY D
ie | ^[^aeiouy]+ | [ds]?$ | AY
ie | | | IY
ir | | (?![aeiouy]) | ER
ion | | | Y AH N
ious | | | IY AH S
ia | | | IY AH
io | | | IY OW
i | | (nd|ld)$ | AY
i | [cv] | ve$ | IH
i | [aeiouy].* | (ve|te|ne)$ | IH
i | | [^aeiouywxr](e|es|ed|er)$ | AY
i | | ng$ | IH
i | | z(e|ed|es|ing|er)$ | AY
i | | $ | IY
i | | | IH
jj | | | JH
j | | | JH
kk | | | K
kn | ^ | | N
k | | | K
ll | | | L
le | [^aeiouylr] | s?$ | AH L
l | [ao] | [kmf] |
l | | | L
mm | | | M
mn | | $ | M
m | | | M
nn | | | N
ng | | (ing|ed)?s?$ | NG
n | | (k|g$|g[^eiyaou]|x|q) | NG
n | | | N
ough | | t | AO
ough | | | OW
ould | | | UH D
oul | | d | OW L
oor | | | AO R
ook | | | UH K
oo | | | UW
ous | | (e$|ing$) | AW S
ous | [aeiouy].* | (ly|ness)?$ | AH S
our | | | AO R
ou | | | AW
ow | | $ | OW
ow | | (s|ed|er|ing)$ | OW
ow | | | AW
oi | | | OY
oy | | | OY
oa | | | OW
oe | | s?$ | OW
or | [aeiouy].* | s?$ | ER
or | w | [^aeiouy] | ER
or | | | AO R
o | | (ld|lt|ll|st|th)$ | OW
o | [aeiouy].* | [nm](s|d)?$ | AH
o | | [^aeiouywxr](e|es|ed|er|ing)$ | OW
o | | $ | OW
o | | s$ | OW
o | ^c | [mn] | AH
o | | | AA
ph | | | F
pp | | | P
pn | ^ | | N
ps | ^ | | S
p | | | P
qu | | e$ | K
qu | | | K W
q | | | K
rr | | | R
rh | | | R
r | | | R
ssion | | | SH AH N
sion | [aeiour] | | ZH AH N
sion | | | SH AH N
sure | | | ZH ER
sch | | | SH
sch | ^ | | S K
sc | | [eiy] | S
sh | | | SH
ss | | | S
s | [aeiouy] | [aeiou] | Z
s | [aeiouy].*[aeiobdglmnrvwy] | $ | Z
s | [aeo] | m$ | Z AH
s | | | S
tion | | | SH AH N
tious | | | SH AH S
tial | | | SH AH L
tian | | | SH AH N
tch | | | CH
ture | [aeiouy].* | | CH ER
th | ^ | (e|i|a|o)?[smny]?$ | DH
th | | er | DH
th | | | TH
tt | | | T
t | s | le$ |
t | | | T
ur | | (?![aeiouy]) | ER
ure | | $ | Y UH R
uy | | | AY
ui | | | UW
ue | | s?$ | UW
u | ^ | [^aeiouy][aeiouy] | Y UW
u | ^p | [lst][lsth] | UH
u | [bcfghmpk] | [^aeiouywx][aeiouy] | Y UW
u | | [^aeiouywx](e|es|ed|er|ing|i|o|a) | UW
u | | $ | UW
u | | | AH
vv | | | V
v | | | V
wh | | o | HH
wh | | | W
wr | | | R
w | | | W
x | ^ | | Z
x | | | K S
y | ^ | [aeiou] | Y
y | ^[^aeiouy]+ | $ | AY
y | | $ | IY
y | | [^aeiouywx]e$ | AY
y | [aeou] | |
y | [^aeiouy] | [aeiou] | IY
y | | | IH
zz | | | Z
z | | | Z
"""
