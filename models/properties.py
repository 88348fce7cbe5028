"""Observed properties: unit, resolution, allowed range, Smart Data Models name and titles in both languages."""

from __future__ import annotations

from citytwin.models.vocabulary import Property

# name, unit, steps per unit, lowest, highest, Smart Data Models name, zh, en
_ROWS: tuple[tuple[str, str, int, float, float, str, str, str], ...] = (
    ("traffic.speed", "km/h", 10, 0, 250, "TrafficFlowObserved.averageVehicleSpeed", "路段车速", "Traffic speed"),
    ("traffic.flow", "veh/5min", 1, 0, 5000, "TrafficFlowObserved.intensity", "路段流量", "Traffic flow"),
    ("traffic.occupancy", "%", 10, 0, 100, "TrafficFlowObserved.occupancy", "车道占有率", "Lane occupancy"),
    ("parking.occupied", "count", 1, 0, 100_000, "OffStreetParking.occupiedSpotNumber", "停车占用", "Spaces taken"),
    ("parking.spaces", "count", 1, 0, 100_000, "OffStreetParking.totalSpotNumber", "停车泊位", "Parking spaces"),
    ("water.pressure", "MPa", 1_000_000, 0, 2.5, "", "供水压力", "Water pressure"),
    ("water.flow", "m3/h", 100, 0, 100_000, "WaterConsumptionObserved.waterConsumption", "供水流量", "Water flow"),
    ("water.turbidity", "NTU", 1000, 0, 1000, "WaterQualityObserved.turbidity", "浊度", "Turbidity"),
    ("water.chlorine", "mg/L", 1000, 0, 20, "WaterQualityObserved.Cl-", "余氯", "Residual chlorine"),
    ("water.ph", "pH", 100, 0, 14, "WaterQualityObserved.pH", "管网水酸碱度", "Tap water pH"),
    ("gas.ch4_lel", "%LEL", 10, 0, 100, "", "可燃气体浓度", "Methane level"),
    ("gas.safe", "safe", 1, 0, 1, "", "燃气现场确认安全", "Gas site checked safe"),
    ("gas.pressure", "kPa", 1000, 0, 10_000, "", "燃气压力", "Gas pressure"),
    ("power.voltage", "V", 10, 0, 1_100_000, "ThreePhaseAcMeasurement.phaseVoltage", "电压", "Voltage"),
    ("power.load", "kW", 1000, -1e6, 1e7, "ThreePhaseAcMeasurement.totalActivePower", "用电负荷", "Power load"),
    ("power.frequency", "Hz", 1000, 40, 70, "ThreePhaseAcMeasurement.frequency", "频率", "Frequency"),
    ("heat.indoor_temp", "°C", 10, -40, 60, "IndoorEnvironmentObserved.temperature", "室内温度", "Indoor temperature"),
    ("air.pm25", "ug/m3", 10, 0, 5000, "AirQualityObserved.pm25", "细颗粒物", "PM2.5"),
    ("air.pm10", "ug/m3", 10, 0, 10_000, "AirQualityObserved.pm10", "可吸入颗粒物", "PM10"),
    ("air.so2", "ug/m3", 10, 0, 10_000, "AirQualityObserved.so2", "二氧化硫", "SO2"),
    ("air.no2", "ug/m3", 10, 0, 10_000, "AirQualityObserved.no2", "二氧化氮", "NO2"),
    ("air.o3", "ug/m3", 10, 0, 5000, "AirQualityObserved.o3", "臭氧", "O3"),
    ("air.co", "mg/m3", 100, 0, 500, "AirQualityObserved.co", "一氧化碳", "CO"),
    ("wq.do", "mg/L", 1000, 0, 50, "WaterQualityObserved.O2", "溶解氧", "Dissolved oxygen"),
    ("wq.codmn", "mg/L", 1000, 0, 1000, "", "高锰酸盐指数", "Permanganate index"),
    ("wq.cod", "mg/L", 1000, 0, 10_000, "WaterQualityObserved.cod", "化学需氧量", "COD"),
    ("wq.bod5", "mg/L", 1000, 0, 10_000, "WaterQualityObserved.bod", "五日生化需氧量", "BOD5"),
    ("wq.nh3n", "mg/L", 1000, 0, 1000, "WaterQualityObserved.NH4", "氨氮", "Ammonia nitrogen"),
    ("wq.tp", "mg/L", 1000, 0, 100, "", "总磷", "Total phosphorus"),
    ("wq.tn", "mg/L", 1000, 0, 1000, "", "总氮", "Total nitrogen"),
    ("wq.ph", "pH", 100, 0, 14, "WaterQualityObserved.pH", "酸碱度", "pH"),
    ("wq.temp", "°C", 10, -5, 60, "WaterQualityObserved.temperature", "水温", "Water temperature"),
    ("noise.laeq", "dB(A)", 10, 0, 150, "NoiseLevelObserved.LAeq", "等效声级", "Noise level LAeq"),
    ("rain.depth", "mm", 100, 0, 200, "WeatherObserved.precipitation", "降雨量", "Rain depth"),
    ("rain.forecast_1h", "mm", 100, 0, 500, "", "未来一小时雨量预报", "Rain forecast for an hour"),
    ("weather.temp", "°C", 10, -60, 60, "WeatherObserved.temperature", "气温", "Air temperature"),
    ("weather.humidity", "%", 10, 0, 100, "WeatherObserved.relativeHumidity", "相对湿度", "Humidity"),
    ("weather.wind", "m/s", 10, 0, 120, "WeatherObserved.windSpeed", "风速", "Wind speed"),
    ("river.level", "m", 1000, -50, 9000, "FloodMonitoring.currentLevel", "河道水位", "River level"),
    ("waterlog.depth", "cm", 10, 0, 1000, "FloodMonitoring.waterLevel", "渍水深度", "Waterlogging depth"),
    ("pump.state", "on", 1, 0, 1, "", "泵站运行", "Pump running"),
    ("pump.flow", "m3/h", 10, 0, 1_000_000, "", "泵站流量", "Pump flow"),
    ("manhole.tilt", "deg", 10, 0, 180, "", "井盖倾角", "Manhole cover tilt"),
    ("manhole.open", "open", 1, 0, 1, "", "井盖开启", "Manhole open"),
    ("bin.fill", "%", 10, 0, 150, "WasteContainer.fillingLevel", "垃圾桶满溢度", "Bin filling level"),
    ("lamp.power_state", "on", 1, 0, 1, "Streetlight.powerState", "路灯开关", "Street light on"),
    ("lamp.power", "W", 10, 0, 10_000, "Streetlight.powerConsumption", "路灯功率", "Street light power"),
    ("crowd.count", "count", 1, 0, 1_000_000, "CrowdFlowObserved.peopleCount", "人群数量", "Crowd count"),
    ("fire.smoke", "alarm", 1, 0, 1, "", "烟感报警", "Smoke alarm"),
    ("elevator.fault", "fault", 1, 0, 1, "", "电梯故障", "Lift fault"),
    ("camera.intact", "intact", 1, 0, 1, "", "摄像机完好", "Camera intact"),
)  # fmt: skip

#: All observed properties that the built-in vocabulary knows.
PROPERTIES: tuple[Property, ...] = tuple(Property(*r[:6]) for r in _ROWS)

#: Title of each property in both languages.
PROPERTY_TITLES: dict[str, dict[str, str]] = {r[0]: {"zh": r[6], "en": r[7]} for r in _ROWS}
