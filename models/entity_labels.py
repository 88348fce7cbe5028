"""What operators read: the name of every attribute and relation in both languages."""

from __future__ import annotations

_NAMES = """
name 名称 Name
name_en 英文名称 English name
state 状态 State
synthetic 合成数据 Synthetic
theme 专题 Theme
edition 版次 Edition
crs 坐标系 Coordinate system
scale 比例尺分母 Scale denominator
source_unit 数据来源单位 Source
survey_date 测绘日期 Survey date
geometry_type 几何类型 Geometry
address_level 地址级别 Address level
text 地址全称 Full address
plate_no 门牌号 Plate number
primary 主地址 Primary address
storeys 层数 Storeys
height_m 高度 Height
use 用途 Use
built_year 建成年份 Year built
structure 结构 Structure
fire_class 耐火等级 Fire class
footprint_m2 占地面积 Footprint
estate_unit 不动产单元代码 Real-estate unit
grid_kind 网格类型 Kind of grid
population 人口 Population
households 户数 Households
area_m2 面积 Area
manager 网格长 Manager
workers 网格员人数 Grid workers
power_customers 用电户数 Power customers
persons 人数 Persons
birth_year 出生年份 Year of birth
sex 性别 Sex
hukou_local 本地户籍 Local registration
category 人员类别 Category
unit_no 单元号 Unit
floor_no 楼层 Floor
room_no 房号 Room
house_use 房屋使用情况 Use of house
rooms 间数 Rooms
residents 居住人数 Residents
owner_hash 产权人标识 Owner (hash)
gas_user 燃气用户 Gas user
heated 集中供暖 Heated
industry 行业 Industry
scale_class 规模 Size
employees 从业人数 Employees
licences 证照数 Licences
major_hazard 重大危险源 Major hazard
credit_flag 信用标记 Credit
facility_kind 设施类型 Kind of facility
responsible_unit 责任单位 Responsible unit
owner_unit 权属单位 Owner unit
maintenance_unit 养护单位 Maintenance unit
installed 安装日期 Installed
checked 检查日期 Checked
length_m 长度 Length
free_flow_kmh 自由流速度 Free-flow speed
road_class 道路等级 Road class
capacity 容量 Capacity
usable_area_m2 可用面积 Usable area
accuracy_class 定位精度等级 Accuracy class
courts 场地数 Courts
open_hours 每日开放时长 Opening hours a day
catchment_m2 汇水面积 Catchment area
curve_number 径流曲线数 Curve number
storage_m3 调蓄容积 Storage
pump_m3s 抽排能力 Pump capacity
schedule 亮灯时段 Lighting schedule
device_kind 设备类型 Kind of device
model 型号 Model
vendor 厂商 Vendor
firmware 固件版本 Firmware
orientation 朝向 Orientation
period_s 上报周期 Reporting period
in_service 在用 In service
phases 相数 Phases
mandatory 必报 Mandatory
role 作用 Role
station 站点 Station
properties 观测项目 Observed properties
nominal_value 额定值 Nominal value
nominal_flow 额定流量 Nominal flow
nominal_voltage 额定电压 Nominal voltage
fortify_level 设防水位 Fortify level
warning_level 警戒水位 Warning level
guarantee_level 保证水位 Guarantee level
alarm_level 报警值 Alarm level
zone_class 声环境功能区 Noise zone
section_id 断面编号 Section
target_class 目标水质类别 Target class
calibrated 检定日期 Calibrated
calibration_due 检定到期 Calibration due
parent_address 上级地址 Parent address
alias_of 标准地址 Alias of
building 所在建筑 Building
grid 所在网格 Grid
address 地址 Address
map_layer 来源图层 Map layer
house 住房 House
works_at 工作单位 Works at
on_road 所在道路 On road
owner_org 所属单位 Owner
facility 依附设施 Facility
observes 观测对象 Observes
"""

#: Name of an attribute or relation -> {"zh": ..., "en": ...}.
ATTRIBUTE_NAMES: dict[str, dict[str, str]] = {
    key: {"zh": zh, "en": en} for key, zh, en in (line.split(" ", 2) for line in _NAMES.strip().splitlines())
}
