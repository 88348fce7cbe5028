"""How people put it: what they say of an incident, each in other words, and what tells one thing from its neighbour.

Each kind of incident has ways to say what is wrong, and marks (colour, size, what lies there) that a witness may name
in one of several wordings. A place has a name, a road and a relation to them. Made by hand for the simulator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

Ways = tuple[str, ...]

#: By category: ways to say what is wrong; marks, each with its wordings after a stroke.
_SAYINGS: dict[str, tuple[str, str]] = {
    "sanitation.litter": (
        "垃圾没人清理 一堆垃圾 垃圾满地 暴露垃圾 垃圾成堆没清运",
        "有剩饭菜/厨余 很臭/气味难闻 塑料袋乱飞/全是塑料袋 垃圾桶翻倒/桶倒了 有旧沙发/扔了沙发",
    ),
    "sanitation.rubble": (
        "装修垃圾没清走 堆了建筑垃圾 渣土乱倒 一堆砖渣 偷倒渣土",
        "有碎瓷砖/瓷砖碎片 占了车位/把车位占了 装了十几袋/十多个编织袋 有旧门板/门板扔在那",
    ),
    "sanitation.dirty_road": (
        "路面脏 地上很脏没人扫 道路污染 路面有油污 路上全是泥",
        "渣土车撒漏/渣土车漏的 有黄泥/黄泥巴 油渍打滑/一摊油很滑 树叶堆积/落叶没扫",
    ),
    "street.stall": (
        "占道经营 摆摊占道 小贩占了人行道 流动摊贩 有人摆摊堵路",
        "卖水果/水果摊 卖烧烤/烧烤摊油烟大 三轮车/推三轮的 卖早点/早餐车 喇叭叫卖/大喇叭吵",
    ),
    "street.parking": (
        "违停 乱停车 车停在人行道上 违章停车挡路 车辆占道停放",
        "白色面包车/白面包车 黑色轿车/黑车 堵住消防通道/消防通道被堵 货车/大货车 红色越野车/红色SUV",
    ),
    "advert.illegal": (
        "小广告 乱贴广告 违规广告牌 墙上贴满小广告 非法张贴",
        "开锁广告/开锁的 贷款广告/贷款的 电线杆上/贴在电杆 横幅/拉了条幅 贴在站牌/公交站牌上",
    ),
    "construction.noise": (
        "工地噪音大 施工吵得睡不着 夜间施工扰民 工地半夜还在干 施工噪声",
        "打桩/打桩机 切割声/切钢筋 混凝土车/搅拌车进出 电锤/冲击钻 地铁工地/修地铁的",
    ),
    "construction.illegal": (
        "违建 私自加盖 违章搭建 有人搭棚子 顶楼加建",
        "铁皮棚/彩钢棚 楼顶/屋顶上 占用绿地/绿化带里 在砌墙/正在砌砖 阳光房/玻璃房",
    ),
    "facility.streetlight": (
        "路灯不亮 路灯坏了 没有路灯很黑 灯不亮晚上看不见 路灯熄灭",
        "连着三盏/三盏都灭 灯杆歪/灯杆倾斜 一闪一闪/忽明忽暗 灯罩掉了/灯罩破 白天亮着/大白天也亮",
    ),
    "facility.manhole": (
        "井盖没了 井盖破损 窨井盖缺失 井盖松动有响声 下水道盖子坏了",
        "电信井/通信井 压过咣当响/车一过就响 有人差点掉下去/差点踩空 雨水井/雨水口 放了锥桶/摆了个锥筒",
    ),
    "facility.road": (
        "路面塌陷 路上有坑 地面下陷 路面破损 马路上一个大坑",
        "积了水/坑里有水 一米多宽/宽一米多 人行道砖松动/地砖翘起 车轮陷进去/有车陷了 裂了一条缝/裂缝很长",
    ),
    "green.tree": (
        "树倒了 大树倒伏 树枝断了 树枝掉下来 树歪了要倒",
        "压到车/砸了车 梧桐/法桐 挡住半边路/占了半幅路 碰到电线/挂在电线上 樟树/香樟",
    ),
    "traffic.signal": (
        "红绿灯坏了 信号灯不亮 交通灯故障 红绿灯一直红 信号灯黄闪",
        "左转灯/左转不放行 行人灯/人行灯不变 倒计时乱跳/读秒不对 堵了很长/排长队 东西方向/东西向",
    ),
    "traffic.accident": (
        "车祸 两车相撞 追尾了 出了交通事故 撞车了",
        "电动车倒地/电瓶车摔了 公交车/公汽 有人受伤/人伤了 出租车/的士 撞了护栏/护栏撞坏 渣土车/土方车",
    ),
    "power_outage": (
        "停电了 没电 突然断电 整栋楼停电 家里没电",
        "电梯停了/电梯困人 变压器响/听见变压器爆响 只有这栋/隔壁有电 冰箱化了/冰箱都化冻 一单元/1单元",
    ),
    "gas_leak": (
        "燃气泄漏 有煤气味 闻到燃气味 天然气漏了 楼道有气味",
        "餐馆后厨/饭店厨房 施工挖断/挖机挖断管 楼道里/楼梯间 嘶嘶响/有漏气声 调压箱/调压柜",
    ),
    "water.burst": (
        "水管爆了 自来水管破裂 路上往外冒水 爆管漏水 供水管喷水",
        "水柱两米/喷两米高 家里停水/没水用 流到地库/灌进地下车库 消防栓/消火栓断了 水是黄的/黄泥水",
    ),
    "flood.waterlog": (
        "积水过膝 路面积水 内涝淹水 水淹了过不去 积水很深",
        "有车熄火/车泡水熄火 地下通道/下穿通道 水进了店/商铺进水 公交绕行/公交不走了 盖子冒水/井口往外冒",
    ),
}
SAYINGS: dict[str, tuple[Ways, tuple[Ways, ...]]] = {
    name: (tuple(ways.split()), tuple(tuple(mark.split("/")) for mark in marks.split()))
    for name, (ways, marks) in _SAYINGS.items()
}

_STEMS = (
    "新华 和平 建设 解放 胜利 光明 东湖 西马 常青 香江 金色 翠微 长丰 永清 丹水 "
    "百步 花桥 南湖 水果 积玉 徐东 钢花 汉口 琴台 墨水 梨园 岳家 青鱼 紫阳 石牌"
)
STEMS: Ways = tuple(_STEMS.split())
PLACES = ("小区", "花园", "菜场", "中学", "小学", "医院", "广场", "公寓", "大厦", "幼儿园", "公交站", "地铁站")
ROADS = ("一路", "二路", "三路", "大道", "街", "巷", "横路")
#: Relations of a place, each in several wordings.
_SIDES = "门口/大门口 对面/正对面 后门/后面 旁边/边上 东侧/东边 路口/红绿灯路口"
SIDES: tuple[Ways, ...] = tuple(tuple(side.split("/")) for side in _SIDES.split())
OPENERS = ("", "", "", "你好，", "反映", "市民反映", "麻烦看下", "请问")
CLOSERS = ("", "", "", "请处理", "快来人", "好几天了", "影响出行", "没人管", "希望尽快解决")


Chance = Iterator[float]


def pick(chance: Chance, ways: Sequence[str]) -> str:
    """One of several wordings; `chance` gives uniform numbers in [0, 1)."""
    return ways[int(next(chance) * len(ways))]


@dataclass(frozen=True, slots=True)
class Scene:
    """One incident as it is: category, name of the place, its road, a relation to it (of SIDES), two of its marks."""

    category: str
    name: str
    road: str
    side: int
    marks: tuple[int, int]


def scene(chance: Chance, category: str) -> Scene:
    """An incident somewhere."""
    marks = SAYINGS[category][1]
    first = int(next(chance) * len(marks))
    second = (first + 1 + int(next(chance) * (len(marks) - 1))) % len(marks)
    name, road = pick(chance, STEMS) + pick(chance, PLACES), pick(chance, STEMS) + pick(chance, ROADS)
    return Scene(category, name, road, int(next(chance) * len(SIDES)), (first, second))


def neighbour(chance: Chance, other: Scene) -> Scene:
    """Another incident of the same kind close by: often on the same road, at times beside the same place."""
    new = scene(chance, other.category)
    if next(chance) < 0.2:
        side = (other.side + 1 + int(next(chance) * (len(SIDES) - 1))) % len(SIDES)
        return replace(new, name=other.name, road=other.road, side=side)
    return replace(new, road=other.road) if next(chance) < 0.5 else new


def tell(chance: Chance, seen: Scene) -> str:
    """What one witness says of it: the place by name or road, the trouble in some wording, maybe its marks."""
    problems, marks = SAYINGS[seen.category]
    named, on_road = next(chance) < 0.85, next(chance) < 0.45
    where = seen.road if on_road or not named else ""
    if named:
        where += seen.name + (pick(chance, SIDES[seen.side]) if next(chance) < 0.7 else "")
    what = pick(chance, problems)
    told = [pick(chance, marks[m]) for m in seen.marks if next(chance) < 0.6]
    parts = [where, what] if next(chance) < 0.8 else [what, where]
    return pick(chance, OPENERS) + "，".join(filter(None, [*parts, *told, pick(chance, CLOSERS)]))
