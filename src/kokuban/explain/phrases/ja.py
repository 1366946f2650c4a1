"""The explanations in Japanese. In a reason, `$…$` is a formula, \\y \\x \\g its parts."""

from kokuban.explain.phrases.language import Language

WORDS = {
    "title": "$\\0$ を求める。ただし $\\1$",
    "short title": "$\\0$ を求める",
    "rows": "行がサンプル ($N$ 個) である。行列に関する勾配は、その行列と同じ形である。",
    "columns": "列がサンプル ($N$ 個) である。すべての行列を転置し、積の順序を逆にして書く。"
    "行列に関する勾配は、その行列と同じ形である。",
    "forward": "順伝播",
    "backward": "逆伝播",
    "insert": "$\\0$ を代入する",
    "simplified": "整理する",
    "mean of rows": "損失は行 (サンプル) についての平均である。",
    "mean of entries": "損失は全成分についての平均である。",
    "half sum": "損失は全成分についての和の半分である。",
    "own reduction": "損失のまとめ方 (和か平均か) は式のとおりである。",
    "smooth": "途中に微分できない点をもつ演算はない。",
    "kink": "$\\0$ は $\\1 = 0$ で微分できない。そこでの傾きは $\\2$ とする。",
    "tie": "$\\0$ は二つの成分が等しいところで微分できない。そこでは勾配を等分する。",
    "as in": "ステップ $\\0$ と同様である",
    "joined": "。",
    "paths": "複数の経路",
    "paths reason": "$\\0$ は $\\1$ 本の経路を通って損失に効くから、それぞれから戻るものを"
    "足し合わせる",
    "shared": "重み共有 (同じ重みを複数か所で使う)",
    "shared reason": "$\\0$ は $\\1$ か所に現れ、損失はそのどれにも依存する。全微分により、"
    "勾配はそれぞれの寄与の和である",
    "wrong": "$\\0$ だけを通した連鎖律は一見正しそうだが、誤りである。$\\1$ での使用の寄与が"
    "抜けている。",
    "wrong numbers": "\\aの ($\\0$, $\\1$) 成分では、誤った式は $\\2$、正しい勾配は $\\3$。",
    "given": "与えられた値",
    "random": "乱数で選んだ値 (seed 0, $\\0$)",
    "random plain": "乱数で選んだ値 (seed 0)",
    "own rule": "この演算の微分の規則による",
    "zero": "定数",
    "zero reason": "$\\0$ は損失に効かないから、勾配のすべての成分が 0 である",
    "no numbers": "乱数の値では損失が有限にならないため、誤差の数値は示さない。",
    "chain": "すべての成分を通る連鎖律",
    "delta": "$\\frac{\\partial a_{ij}}{\\partial a_{pq}} = δ_{ip}\\, δ_{jq}$: 添字の一致する項だけが残る",
    "picks": "δ が和の中の一項を選ぶ",
    "rows of one": "教師信号の各行の和は 1 である",
    "fold": "行列として読む",
    "checked all": "確認: 中心差分と $\\0$ 個の成分すべてで一致 (相対誤差は最大 $\\1$)",
    "checked one": "確認: 中心差分と一致 (相対誤差 $\\1$)",
    "checked some": "確認: 中心差分と $\\2$ 個中 $\\0$ 個の成分で一致 (相対誤差は最大 $\\1$)",
    "checked along": "乱数で選んだ $\\3$ 方向でも一致",
    "checked corner": "微分できない点にある $\\4$ 個は除く",
    "checked wrong": "中心差分と一致しない (相対誤差は最大 $\\1$)",
    "checked not": "未確認: ここでは中心差分で判定できない",
    "checked between": "。",
    "same": "書き直す",
    "same sigmoid": "$e^{-u} σ(u) = 1 - σ(u)$ による",
}

# what changes places in columns
TURNED = {"行列": "行列", "行": "列", "列": "行", "y^\\top y": "y y^\\top"}

RULES = {
    "broadcast": (
        "複製",
        "$\\x$ をすべての行に写したのだから、各行から戻る勾配を足し合わせる",
    ),
    "broadcast column": (
        "複製",
        "一つの列をすべての列に写したのだから、各列から戻る勾配を足し合わせる",
    ),
    "broadcast number": (
        "複製",
        "一つの数をすべての成分に写したのだから、各成分から戻る勾配を足し合わせる",
    ),
    "slice": ("ブロック", "取り出さなかった部分は効かないから、そこは 0 である"),
    "place": ("ブロック", "置いた部分だけが戻ってくる"),
    "distribution": ("恒等写像", "勾配はそのまま通る"),
    "add": ("和", "和は、上流の勾配を各項にそのまま渡す"),
    "subtract": ("差", "引かれる側には勾配がそのまま、引く側には符号を変えて渡る"),
    "multiply": ("要素積", "成分ごとに、一方の因子による傾きはもう一方の因子である"),
    "divide": ("商", "成分ごとに、a/b の傾きは 1/b と -a/b² である"),
    "negate": ("符号", "符号はそのまま残る"),
    "power": ("べき", "成分ごとに、$u^p$ の傾きは $p\\, u^{p-1}$ である"),
    "maximum": ("大きい方", "大きい方の成分だけが勾配を受け取る"),
    "minimum": ("小さい方", "小さい方の成分だけが勾配を受け取る"),
    "matmul": (
        "行列の積",
        "上流の勾配に、もう一方の因子の転置を、その因子があった側から掛ける",
    ),
    "transpose": ("転置", "転置したものは、転置して戻す"),
    "exp": ("指数関数", "$e^u$ の傾きは自分自身である"),
    "expm1": ("指数関数", "$e^u - 1$ の傾きは $e^u$ である"),
    "log": ("対数", "成分ごとに、ln u の傾きは 1/u である"),
    "sqrt": ("平方根", "$\\sqrt{u}$ の傾きは $\\frac{1}{2 \\sqrt{u}}$ である"),
    "abs": ("絶対値", "傾きは符号である"),
    "sign": ("符号関数", "傾きがあるところでは平らである"),
    "step": ("ステップ関数", "傾きがあるところでは平らだから、何も戻らない"),
    "relu": ("ReLU", "$[\\dots]$ は成り立つとき 1、そうでないとき 0。ReLU が入力を通したところだけ"
             "勾配が通る"),
    "sin": ("正弦", "sin の傾きは cos である"),
    "cos": ("余弦", "cos の傾きは -sin である"),
    "sigmoid": ("シグモイド", "成分ごとに $σ' = σ (1 - σ)$ であり、$σ(\\x)$ は $\\y$ である"),
    "tanh": ("tanh", "成分ごとに $\\tanh' = 1 - \\tanh^2$ であり、$\\tanh(\\x)$ は $\\y$ である"),
    "softplus": ("ソフトプラス", "$\\ln(1 + e^u)$ の傾きは $σ(u)$ である"),
    "erf": ("誤差関数", "傾きは釣鐘形の $\\frac{2}{\\sqrt{π}} e^{-u^2}$ である"),
    "sum": ("総和", "足した成分はどれも同じ勾配を受け取る"),
    "row_max": ("行の最大値", "行の最大の成分だけが勾配を受け取る"),
    "logsumexp": ("ln Σ exp", "行ごとに、ln Σeᵘ の傾きは softmax(u) である"),
    "softmax": (
        "ソフトマックス",
        "行ごとに、ソフトマックスのヤコビ行列は $\\operatorname{diag}(y) - y^\\top y$ である",
    ),
    "dropout_mask": ("マスク", "マスクは定数だから、何も戻らない"),
    "mean": ("平均", "n 個の成分が、それぞれ勾配の 1/n を受け取る"),
    "affine": (
        "行列の積",
        "上流の勾配に、もう一方の因子の転置を、その因子があった側から掛ける",
    ),
    "leaky_relu": ("Leaky ReLU", "傾きは $\\x > 0$ で 1、ほかでは小さな値である"),
    "elu": ("ELU", "傾きは $\\x > 0$ で 1、ほかでは指数関数の傾きである"),
    "selu": ("SELU", "定数倍した ELU だから、傾きも定数倍になる"),
    "gelu": ("GELU", "成分ごとに $u Φ(u)$ に積の微分を使う"),
    "silu": ("SiLU", "成分ごとに $u σ(u)$ に積の微分を使う"),
    "mish": ("Mish", "成分ごとに $u \\tanh(\\ln(1 + e^u))$ に積の微分を使う"),
    "log_softmax": ("対数ソフトマックス", "行ごとに $u - \\ln \\sum e^u$ である"),
    "layer_norm": (
        "レイヤー正規化",
        "行の平均と標準偏差がその行の全成分に依存するため、三つの項が現れる",
    ),
    "batch_norm": (
        "バッチ正規化",
        "列の平均と標準偏差が全サンプルに依存するため、三つの項が現れる",
    ),
    "l2": ("重み減衰", "$\\frac{1}{2} w^2$ の傾きは $w$ である"),
    "mse": ("平均二乗誤差", "$(y - t)^2$ の傾きは $2 (y - t)$ であり、平均だから成分の数で割る"),
    "half_sum_of_squares": ("二乗和誤差", "$\\frac{1}{2} (y - t)^2$ の傾きは $y - t$ である。"
                            "1/2 はこのためにある"),
    "mae": ("平均絶対誤差", "$|y - t|$ の傾きは ±1 である"),
    "huber": ("Huber 損失", "傾きは 0 の近くで $y - t$、遠くで ±δ である"),
    "quantile": ("分位点損失", "目標の両側で傾きが異なる"),
    "poisson": ("ポアソン尤度", "$e^y - t y$ の傾きは $e^y - t$ である"),
    "gaussian": ("正規尤度", "2 乗を分散の 2 倍で割ったものと、分散の対数である"),
    "cross_entropy": ("交差エントロピー誤差", "成分ごとに $-t \\ln y$ の傾きは $-t/y$ である"),
    "softmax_cross_entropy": (
        "ソフトマックスと交差エントロピー誤差",
        "$\\ln \\operatorname{softmax}(u)$ の傾きは $δ_{jk} - y_k$ であり、教師信号の各行の和は "
        "1 である",
    ),
    "binary_cross_entropy": (
        "二値交差エントロピー誤差",
        "$-t \\ln y - (1 - t) \\ln(1 - y)$ の傾きは $-t/y + (1 - t)/(1 - y)$ である",
    ),
    "sigmoid_cross_entropy": (
        "シグモイドと二値交差エントロピー誤差",
        "$\\ln(1 + e^u) - t u$ の傾きは $σ(u) - t$ である",
    ),
    "label_smoothing": ("ラベル平滑化", "混合の割合だけ勾配が渡る"),
}  # fmt: skip

PAIRS = {
    ("cross_entropy", "softmax"): (
        "ソフトマックスと交差エントロピー誤差",
        "$\\operatorname{diag}(y) - y^\\top y$ が $-t/y$ に掛かり、教師信号の各行の和が 1 である"
        "ことから整理される",
    ),
    ("binary_cross_entropy", "sigmoid"): (
        "シグモイドと二値交差エントロピー誤差",
        "傾き $y (1 - y)$ が、損失の分母と約分される",
    ),
}
CANCELS = "掛けるものと割るものが約分される"

REWRITES = {
    "transpose twice": "2 回転置すると元に戻る",
    "transpose of a product": "積の転置は、転置の積を逆順にしたもの",
    "broadcast twice": "写しの写しは写しである",
    "sum of copies": "等しい n 個の項の和は n 倍である",
    "sum of sums": "足す順序は結果を変えない",
    "block of a placed block": "置いたものをそのまま取り出す",
    "once for all copies": "どの行 (列) でも同じものは一度だけ計算する",
    "sign of a linear form": "線形だから符号は外に出る",
    "arithmetic": "数を計算する",
    "adding zero": "0 を足しても変わらない",
    "a term minus itself": "同じものを引くと 0 になる",
    "signs of a sum": "負の数を引くことは足すことである",
    "times one, times zero": "1 倍は変わらず、0 倍は 0 になる",
    "nothing in, nothing out": "線形だから 0 は 0 に移る",
    "simple powers": "1 乗は変わらず、0 乗は 1 である",
    "cancel and collect factors": "約分する",
    "signs of a product": "符号は積の外に出る",
    "collect terms": "同類項をまとめる",
    "multiply out where it cancels": "展開すると約分される",
    "a common scale": "共通の係数でくくる",
    "a product's two complements": "y(1 - t) - t(1 - y) = y - t である",
    "log of softmax": "ソフトマックスの対数を、桁落ちのない形に書く",
    "log of sigmoid": "シグモイドの対数を、桁落ちのない形に書く",
    "log of exp": "対数は指数関数の逆である",
    "log of 1 + exp": "桁あふれのない形に書く",
    "log of a sum of exp": "最大の項を先にくくり出す",
    "exp over its row's sum": "定数を引いてもソフトマックスは変わらない",
    "exp of log-softmax": "指数関数は対数の逆である",
    "exp minus one": "桁落ちのない形に書く",
    "exp minus one plus one": "引いた 1 を足すと元に戻る",
    "rows that sum to 1": "ソフトマックスの各行も、教師信号の各行も、和は 1 である",
}

JA = Language(WORDS, RULES, PAIRS, CANCELS, REWRITES, TURNED)
